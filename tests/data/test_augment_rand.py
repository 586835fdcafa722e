"""RandAugment: each operation against torchvision (goldens), masks, and exactness of what was not chosen."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.augment import make_augment
from data.augment.rand_augment import (
    OPERATIONS,
    POLICIES,
    SIGNED,
    magnitudes,
    move,
    parsed,
    recolor,
    wide_magnitudes,
)
from data.errors import DataError

GOLDENS = np.load(Path(__file__).parents[1] / "goldens" / "augment.npz")
PICTURE = GOLDENS["picture"]
UNIT = jnp.asarray(PICTURE / np.float32(255))


TABLES = np.load(Path(__file__).parents[1] / "goldens" / "policies.npz")


def copies(size, image=PICTURE):
    return {"image": np.stack([image] * size), "id": np.arange(size, dtype=np.int32)}


NAMES = {
    name: "".join(part.capitalize() for part in name.split("_")).replace("Autocontrast", "AutoContrast")
    for name in OPERATIONS
}
THEIRS = {name: OPERATIONS.index(ours) for ours, name in NAMES.items()}  # torchvision's name -> number


@pytest.mark.parametrize("name", OPERATIONS[:-1])
def test_rand_augment_is_torchvisions(name):
    """Each operation at magnitude 18 of 30, with a positive sign."""
    theirs = GOLDENS[f"rand_{NAMES[name]}"]
    choice = OPERATIONS.index(name)
    value = magnitudes(0.6, UNIT.shape[:2])[choice]
    image = recolor(move(UNIT, choice, value, True, 0), choice, value)
    np.testing.assert_allclose(image, theirs / np.float32(255), atol=1.6 / 255)  # theirs rounds to levels


def test_rand_augment_leaves_what_it_did_not_choose_exactly():
    for choice in range(6):
        np.testing.assert_array_equal(recolor(UNIT, choice, 0.5), UNIT)
    for choice in (0, *range(6, len(OPERATIONS))):
        np.testing.assert_array_equal(move(UNIT, choice, 0.5, True, 0), UNIT)


def test_inverting_is_exact():
    choice = OPERATIONS.index("invert")
    np.testing.assert_array_equal(recolor(UNIT, choice, 0.0), 1 - UNIT)


@pytest.mark.parametrize(("space", "steps"), [("rand", 31), ("auto", 10), ("wide", 31)])
def test_magnitudes_are_torchvision_s(space, steps):
    strengths = np.arange(steps) / (steps - 1)
    ours = np.stack([wide_magnitudes(x) if space == "wide" else magnitudes(x, (20, 24)) for x in strengths], 1)
    theirs = TABLES[f"{space}/magnitudes"]
    for row, name, signed in zip(theirs, TABLES[f"{space}/names"], TABLES[f"{space}/signed"], strict=True):
        choice = THEIRS[name]
        whole = lambda x: np.trunc(x + 1e-5)  # half of 32 is 15.999999 in torch's float32
        expected = {"Solarize": lambda x: x / 255, "TranslateX": whole, "TranslateY": whole}.get(name, np.array)
        np.testing.assert_allclose(ours[choice], expected(row), atol=1e-6, err_msg=name)
        assert signed == (SIGNED.start <= choice < SIGNED.stop), name


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_are_torchvision_s(policy):
    choices, probabilities, steps = parsed(POLICIES[policy])
    theirs = TABLES[f"policy/{policy}/names"], TABLES[f"policy/{policy}/numbers"]
    assert choices == [[THEIRS[name] for name in pair] for pair in theirs[0]]
    np.testing.assert_array_equal(np.stack([probabilities, steps], -1), theirs[1])


def test_auto_augment_applies_pairs_of_its_policy(declared):
    """On a flat grey picture only some operations show; with the policy for SVHN the shares follow from its table."""
    grey = np.full((4, 4, 3), 64, np.uint8)
    batch = copies(4000, grey)
    out = jax.jit(make_augment(("auto_augment('svhn')",), declared(batch)))(batch, jax.random.key(0))["image"]
    out = np.rint(np.asarray(out)[:, 2, 2, 0] * 255)
    inverted = np.mean(out == 255 - 64)
    choices, probabilities, _ = map(np.array, parsed(POLICIES["svhn"]))
    odds = np.where(choices == OPERATIONS.index("invert"), probabilities, 0)
    expected = np.mean(odds[:, 0] * (1 - odds[:, 1]) + odds[:, 1] * (1 - odds[:, 0]))
    assert abs(inverted - expected) < 0.05


def test_an_unknown_policy_is_one_line(declared):
    with pytest.raises(DataError, match=r"auto_augment\('imagnet'\): the policies are imagenet, cifar10, svhn"):
        make_augment(("auto_augment('imagnet')",), declared(copies(1)))


def test_trivial_augment_draws_every_operation_and_magnitude(declared):
    batch = copies(600)
    out = np.asarray(jax.jit(make_augment(("trivial_augment",), declared(batch)))(batch, jax.random.key(0))["image"])
    assert len(np.unique(out.reshape(600, -1), axis=0)) > 100 and np.isfinite(out).all()
    assert out.min() >= 0 and out.max() <= 1


def test_rand_augment_moves_masks_with_the_image(declared):
    rows, columns = np.mgrid[:20, :24]
    image = np.stack([rows + 1, columns + 1, 0 * rows], -1).astype(np.float32) / 255
    for name in ("translate_x", "translate_y"):
        choice = OPERATIONS.index(name)
        value = magnitudes(0.5, (20, 24))[choice]
        moved = np.rint(np.asarray(move(image, choice, value, True, 0)) * 255)
        mask = np.asarray(move(jnp.asarray(rows * 24 + columns), choice, value, False, -1))
        inside = moved[..., 0] > 0
        np.testing.assert_array_equal(mask >= 0, inside)
        assert not inside.all()
        np.testing.assert_array_equal(mask[inside], ((moved[..., 0] - 1) * 24 + moved[..., 1] - 1)[inside])
    batch = copies(8) | {"masks": np.zeros((8, 20, 24), np.int32)}
    out = jax.jit(make_augment(("rand_augment(2, 30)",), declared(batch)))(batch, jax.random.key(0))
    assert out["masks"].dtype == np.int32 and set(np.unique(out["masks"])) == {-1, 0}


def test_rand_augment_takes_grey_images(declared):
    out = make_augment(("rand_augment(2, 9)",), declared(copies(1, PICTURE[..., :1])))(
        copies(4, PICTURE[..., :1]), jax.random.key(0)
    )["image"]
    assert out.shape == (4, 20, 24, 1) and np.isfinite(out).all()
