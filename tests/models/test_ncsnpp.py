"""DDPM++ and NCSN++ against the authors' counts and diffusers' blocks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.errors import ModelError
from models.generative.ncsnpp import BLOCK, BigGANBlock, NCSNpp, smooth, smooth_down, smooth_up
from models.port import from_torch
from tests.goldens.make_classification import seeded_images, seeded_tensor, seeded_weights
from tests.models.parity import abstract, filled, golden, golden_shapes, quickly

TINY = NCSNpp(width=8, multipliers=(1, 2), blocks=1, attention=(4,), dropout_rate=0.0)


@pytest.mark.parametrize(
    ("variant", "blocks", "parameters"),
    [
        ("ncsnpp", 4, 62_758_915),
        ("ncsnpp", 8, 107_587_075),
        ("ncsnpp_vp", 4, 62_693_251),
        ("ddpmpp", 4, 61_804_419),
    ],
)
def test_parameters(variant, blocks, parameters):
    """With the 128 fixed frequencies, as the authors count."""
    like = abstract(NCSNpp(variant=variant, blocks=blocks), jnp.zeros((1, 32, 32, 3)), jnp.zeros(1), train=False)
    assert sum(leaf.size for leaf in jax.tree.leaves(like)) == parameters


def test_resampling_is_that_of_diffusers():
    stored, x = golden("smooth"), seeded_images(2, 8, 8, 16)
    np.testing.assert_allclose(smooth_down(x), stored["down"], atol=1e-6)
    np.testing.assert_allclose(smooth_up(x), stored["up"], atol=1e-6)
    kernel = seeded_tensor("Conv2d_0.weight", (24, 16, 3, 3)).transpose(2, 3, 1, 0)
    image = jax.lax.conv_general_dilated(smooth(x), kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    np.testing.assert_allclose(image + seeded_tensor("Conv2d_0.bias", (24,)), stored["pyramid"], atol=1e-5)


def test_a_block_is_that_of_diffusers():
    stored, block = golden("smooth"), BigGANBlock(24, 0.0, None, jnp.float32, resize=smooth_down)
    inputs = seeded_images(2, 8, 8, 16), seeded_tensor("time", (2, 12))
    like = abstract(block, *inputs, train=False)
    variables = from_torch(seeded_weights(golden_shapes(stored)), like, BLOCK)
    output = quickly(partial(block.apply, train=False))(variables, *inputs)
    np.testing.assert_allclose(output, stored["output"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant", ["ncsnpp", "ddpmpp"])
def test_reads_the_time_until_the_last_convolution_is_zero(variant):
    images, time, model = seeded_images(2, 8, 8, 3), jnp.array([10.0, 900]), TINY.clone(variant=variant)
    like = abstract(model, images, time, train=False)
    assert ("buffers" in like) == (variant == "ncsnpp")  # the frequencies are not trained
    variables = jax.tree.map(lambda leaf: 0.3 * leaf, filled(like))
    apply = quickly(partial(model.apply, train=False))
    assert not np.allclose(apply(variables, images, time), apply(variables, images, time[::-1]), rtol=1e-2)
    zero = {
        **variables,
        "params": {**variables["params"], "conv_out": jax.tree.map(jnp.zeros_like, like["params"]["conv_out"])},
    }
    assert not apply(zero, images, time).any()


def test_bad_input_is_one_clear_line():
    with pytest.raises(ModelError, match="9×9 cannot be halved 1 times"):
        abstract(TINY, jnp.zeros((1, 9, 9, 3)), jnp.zeros(1), train=False)
