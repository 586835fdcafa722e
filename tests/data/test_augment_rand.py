"""RandAugment: each operation against torchvision (goldens), masks, and exactness of what was not chosen."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.augment import make_augment
from data.augment.rand_augment import OPERATIONS, move, recolor

GOLDENS = np.load(Path(__file__).parents[1] / "goldens" / "augment.npz")
PICTURE = GOLDENS["picture"]
UNIT = jnp.asarray(PICTURE / np.float32(255))


def copies(size, image=PICTURE):
    return {"image": np.stack([image] * size), "id": np.arange(size, dtype=np.int32)}


NAMES = {
    name: "".join(part.capitalize() for part in name.split("_")).replace("Autocontrast", "AutoContrast")
    for name in OPERATIONS
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_rand_augment_is_torchvisions(name):
    """Each operation at magnitude 18 of 30, with a positive sign."""
    theirs = GOLDENS[f"rand_{NAMES[name]}"]
    choice = OPERATIONS.index(name)
    image = recolor(move(UNIT, choice, 1.0, 0.6, True, 0), choice, 1.0, 0.6)
    np.testing.assert_allclose(image, theirs / np.float32(255), atol=1.6 / 255)  # theirs rounds to levels


def test_rand_augment_leaves_what_it_did_not_choose_exactly():
    np.testing.assert_array_equal(move(UNIT, 0, 1.0, 0.5, True, 0), UNIT)
    np.testing.assert_array_equal(recolor(UNIT, 0, 1.0, 0.5), UNIT)


def test_rand_augment_moves_masks_with_the_image(declared):
    rows, columns = np.mgrid[:20, :24]
    image = np.stack([rows + 1, columns + 1, 0 * rows], -1).astype(np.float32) / 255
    for name in ("translate_x", "translate_y"):
        choice = OPERATIONS.index(name)
        moved = np.rint(np.asarray(move(image, choice, 1.0, 0.5, True, 0)) * 255)
        mask = np.asarray(move(jnp.asarray(rows * 24 + columns), choice, 1.0, 0.5, False, -1))
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
