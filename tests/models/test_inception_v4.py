"""Inception-v4 and the Inception-ResNets: sizes of their maps, and how a block adds to its input."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.inception_resnet import InceptionResNet, Residual
from models.classification.inception_v4 import InceptionV4
from models.counting import parameter_table
from models.errors import ModelError
from models.layers.inception import Branches, ConvNormReLU


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (InceptionV4(), {"stem": (147, 64), "stage2": (35, 384), "stage3": (17, 1024), "stage4": (8, 1536)}),
        (InceptionResNet(), {"stem": (147, 64), "stage2": (35, 320), "stage3": (17, 1088), "stage4": (8, 1536)}),
        (InceptionResNet("v1"), {"stem": (147, 64), "stage2": (35, 256), "stage3": (17, 896), "stage4": (8, 1792)}),
    ],
)
def test_maps_of_an_image_of_299_pixels_have_the_sides_of_the_paper(network, expected):
    network = network.clone(num_classes=0, blocks=(1, 1, 1))
    x = jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32)
    maps, _ = jax.eval_shape(partial(network.init_with_output, train=False), jax.random.key(0), x)
    assert {name: maps[name].shape[2:] for name in expected} == expected


@pytest.mark.parametrize("rectify", [True, False])
def test_a_block_adds_its_scaled_branches(rectify):
    """Doubling the scale doubles what is added, and only a rectifying block loses what is negative."""
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 8))
    conv = partial(nn.Conv, use_bias=False)
    layer = partial(ConvNormReLU, conv, lambda name: lambda x: x, 1.0)
    block = Residual((((3, 1, 1),), ((2, 1, 1), (3, 1, 3))), 0.1, rectify, layer, conv)
    y, variables = block.init_with_output(jax.random.key(1), x)
    branches = Branches(block.branches, layer).apply({"params": variables["params"]["branches"]}, x)
    added = branches @ variables["params"]["conv2d"]["kernel"][0, 0]
    expected = x + 0.1 * added
    np.testing.assert_allclose(y, jnp.maximum(expected, 0) if rectify else expected, rtol=1e-5, atol=1e-6)
    assert (y < 0).any() != rectify and jnp.abs(added).max() > 0.1


@pytest.mark.parametrize("network", [InceptionV4(), InceptionResNet()])
def test_small_images_are_refused(network):
    with pytest.raises(ModelError, match="75 pixels a side, not 74×80"):
        parameter_table(network, (1, 74, 80, 3))


def test_an_unknown_variant_is_refused():
    with pytest.raises(ModelError, match="variant='v3' is not one of 'v1', 'v2'"):
        parameter_table(InceptionResNet("v3"), (1, 75, 75, 3))
