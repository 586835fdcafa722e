"""U-ViT against the paper's counts, and what it promises of its tokens."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.errors import ModelError
from models.generative.uvit import UViT
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, filled, quickly

TINY = UViT(width=16, depth=3, heads=2, conditional=True, num_classes=3)


@pytest.mark.parametrize(
    ("variant", "shape", "patch", "millions"),
    [("S", (32, 32, 3), 2, 44), ("M", (64, 64, 3), 4, 131), ("L", (32, 32, 4), 2, 287), ("H", (32, 32, 4), 2, 501)],
)
def test_parameters(variant, shape, patch, millions):
    """Bao et al. 2023, table 1: S on CIFAR-10, the others with the classes of ImageNet."""
    model = UViT(variant=variant, patch=patch, conditional=variant != "S", num_classes=1000)
    like = abstract(model, jnp.zeros((1, *shape)), jnp.zeros(1), train=False)
    assert round(sum(leaf.size for leaf in jax.tree.leaves(like)) / 1e6) == millions


def test_the_last_half_is_joined_to_the_first():
    like = abstract(UViT(width=16, depth=5, heads=2), jnp.zeros((1, 8, 8, 3)), jnp.zeros(1), train=False)["params"]
    assert [f"block{i}" for i in range(5) if "skip" in like[f"block{i}"]] == ["block3", "block4"]


def test_time_and_label_matter_and_a_missing_label_is_any():
    images, time = seeded_images(2, 8, 8, 3), jnp.array([1.0, 20])
    variables = jax.tree.map(lambda leaf: 0.2 * leaf, filled(abstract(TINY, images, time, train=False)))
    apply = quickly(partial(TINY.apply, train=False))
    missing, given = apply(variables, images, time), apply(variables, images, time, label=jnp.array([1, TINY.null]))
    assert missing.shape == images.shape
    np.testing.assert_allclose(missing[1], given[1], rtol=1e-3, atol=1e-5)
    assert not np.allclose(missing[0], given[0], rtol=1e-2)
    assert not np.allclose(missing, apply(variables, images, time + 5), rtol=1e-2)


def test_positions_follow_the_size_of_the_image():
    like = {side: abstract(TINY, jnp.zeros((1, side, side, 3)), jnp.zeros(1), train=False) for side in (8, 16)}
    small, large = (like[side]["params"]["positions"] for side in (8, 16))
    adapted = TINY.adapt("positions", jnp.ones(small.shape), large.shape)
    assert adapted.shape == large.shape and np.allclose(adapted, 1)


@pytest.mark.parametrize(("fields", "message"), [(dict(depth=4), "depth=4"), (dict(patch=3), "patch=3 does not tile")])
def test_bad_input_is_one_clear_line(fields, message):
    with pytest.raises(ModelError, match=message):
        abstract(TINY.clone(**fields), jnp.zeros((1, 8, 8, 3)), jnp.zeros(1), train=False)
