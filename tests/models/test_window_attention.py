"""Attention in windows: what a position sees, and how windows tile a map."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.errors import ModelError
from models.layers.window_attention import WindowAttention, joined, neighbours, relative_positions, windows


@pytest.fixture
def image():
    return np.random.default_rng(0).standard_normal((2, 8, 12, 6)).astype(np.float32)


def test_windows_are_joined_again(image):
    np.testing.assert_array_equal(windows(image, 4)[:, 1].reshape(2, 4, 4, 6), image[:, :4, 4:8])
    np.testing.assert_array_equal(joined(windows(image, 4), 8, 12), image)


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_shifted_windows_are_full_attention_with_a_mask(image, shift):
    """Full attention in which a position sees those of its window, whose borders are `shift` pixels later."""
    layer = WindowAttention(heads=2, window=4, shift=shift)
    variables = layer.init(jax.random.key(0), image)
    params = jax.tree.map(lambda x: jax.random.normal(jax.random.key(x.size), x.shape) / 3, variables["params"])
    rows, columns = (n.ravel() for n in np.mgrid[:8, :12])
    split = lambda name: (image.reshape(2, -1, 6) @ params[name]["kernel"] + params[name]["bias"]).reshape(2, -1, 2, 3)
    scores = jnp.einsum("bqhd,bkhd->bhqk", split("query") / np.sqrt(3), split("key"))
    window = [(n - shift) // 4 for n in (rows, columns)]
    seen = (window[0][:, None] == window[0]) & (window[1][:, None] == window[1])
    down, right = (np.clip(n[:, None] - n, -3, 3) + 3 for n in (rows, columns))
    bias = params["bias_table"].reshape(7, 7, 2)[down, right].transpose(2, 0, 1)
    weights = nn.softmax(jnp.where(seen, scores + bias, -jnp.inf))
    heads = jnp.einsum("bhqk,bkhd->bqhd", weights, split("value")).reshape(2, -1, 6)
    expected = (heads @ params["out"]["kernel"] + params["out"]["bias"]).reshape(image.shape)
    np.testing.assert_allclose(layer.apply({"params": params}, image), expected, atol=1e-5)


def test_the_bias_is_one_number_for_each_offset():
    positions = relative_positions(3)
    assert positions.shape == (9, 9) and len(np.unique(positions)) == 25
    assert positions[0, 1] == positions[4, 5] != positions[1, 0]


def test_without_a_shift_all_of_a_window_is_seen():
    shifted = neighbours(8, 8, 4, (2, 2))
    assert not shifted.all() and shifted.any((1, 2)).all() and neighbours(8, 8, 4, (0, 0)).all()


def test_an_axis_that_one_window_covers_is_not_shifted(image):
    plain, shifted = WindowAttention(2, 4), WindowAttention(2, 4, shift=2)
    wide = image[:, :4]
    variables = plain.init(jax.random.key(0), wide)
    moved = shifted.apply(variables, wide)
    assert not np.allclose(moved, plain.apply(variables, wide))
    np.testing.assert_allclose(moved[:, :, 2:6], plain.apply(variables, wide[:, :, 2:6]), atol=1e-5)


def test_a_window_that_does_not_tile_and_heads_that_do_not_divide_are_named(image):
    with pytest.raises(ModelError, match=r"^window=5 does not tile a map of 8×12"):
        jax.eval_shape(WindowAttention(2, 5).init, jax.random.key(0), image)
    with pytest.raises(ModelError, match=r"^heads=4 does not divide a width of 6"):
        jax.eval_shape(WindowAttention(4, 4).init, jax.random.key(0), image)
