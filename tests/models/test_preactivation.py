"""Pre-activation blocks, weight standardisation, and the networks that are built of them."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.preact_cifar import CifarPreActResNet
from models.classification.resnet_v2 import ResNetV2
from models.counting import parameter_table
from models.errors import ModelError
from models.layers.preactivation import PreActivation
from models.layers.weight_standardisation import StandardisedConv

IMAGES = jax.random.normal(jax.random.key(0), (2, 8, 8, 4))
SCALED = partial(nn.BatchNorm, use_running_average=True)
CONV = partial(nn.Conv, use_bias=False)


@pytest.mark.parametrize(("branch", "channels"), [("basic", 4), ("bottleneck", 1)])
def test_a_block_whose_last_scale_is_zero_is_the_identity(branch, channels):
    block = PreActivation(branch, channels, 1, CONV, SCALED)
    y, variables = block.init_with_output(jax.random.key(1), IMAGES, train=False)
    assert np.abs(y - IMAGES).max() > 0.1
    last = max(name for name in variables["params"] if name.startswith("norm"))
    params = {**variables["params"], last: {"scale": jnp.zeros(channels), "bias": jnp.zeros(channels)}}
    np.testing.assert_array_equal(block.apply({**variables, "params": params}, IMAGES, train=False), IMAGES)


def test_a_projection_reads_what_is_normalised_and_option_a_what_is_not():
    for shortcut, expected in (("A", IMAGES[:, ::2, ::2]), ("B", nn.relu(IMAGES)[:, ::2, ::2])):
        block = PreActivation("basic", 8, 2, CONV, lambda name: lambda x: x, shortcut)
        variables = block.init(jax.random.key(1), IMAGES, train=False)
        params = {**variables["params"], "conv2": {"kernel": jnp.zeros((3, 3, 8, 8))}}
        if shortcut == "B":
            params["shortcut"] = {"kernel": jnp.pad(jnp.eye(4), ((0, 0), (2, 2)))[None, None]}
        y = block.apply({"params": params}, IMAGES, train=False)
        np.testing.assert_allclose(y, jnp.pad(expected, ((0, 0), (0, 0), (0, 0), (2, 2))), rtol=1e-6)


def test_dropout_is_between_the_convolutions():
    block = PreActivation("basic", 4, 1, CONV, SCALED, dropout_rate=1.0)
    variables = block.init(jax.random.key(1), IMAGES, train=False)
    y = block.apply(variables, IMAGES, train=True, rngs={"dropout": jax.random.key(2)})
    np.testing.assert_array_equal(y, IMAGES)


def test_standardised_weights_ignore_scale_and_shift_of_the_kernel():
    conv = StandardisedConv(5, (3, 3), padding=1)
    y, variables = conv.init_with_output(jax.random.key(1), IMAGES)
    kernel = variables["params"]["kernel"]
    moved = conv.apply({"params": {"kernel": 3 * kernel + 7}}, IMAGES)
    np.testing.assert_allclose(moved, y, rtol=1e-4, atol=1e-4)
    of_constants = conv.apply(variables, jnp.ones((1, 8, 8, 4)))[:, 1:-1, 1:-1]  # the kernel's mean is 0
    np.testing.assert_allclose(of_constants, 0, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (CifarPreActResNet(depth=21), "depth=21 is not 6n"),
        (CifarPreActResNet(depth=28), "depth=28 is not 6n.2"),
        (CifarPreActResNet(depth=2), "depth=2 is not"),
        (CifarPreActResNet(depth=20, block="basics"), "did you mean 'basic'"),
        (CifarPreActResNet(depth=8, shortcut="C"), "shortcut='C' is not one of 'A', 'B'"),
        (ResNetV2(norm="group", width=48), "32 groups, which width=48"),
        (ResNetV2(norm="grup"), "did you mean 'group'"),
    ],
)
def test_bad_fields_are_refused(network, message):
    with pytest.raises(ModelError, match=message):
        parameter_table(network, (1, 32, 32, 3))
