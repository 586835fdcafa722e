"""Grouped convolutions are flax's in values and gradients, whatever they are computed by, and cost the same."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.counting import count_macs
from models.layers.grouped_conv import grouped_conv

FIELDS = [
    dict(features=8, kernel_size=(3, 3), feature_group_count=4),
    dict(features=64, kernel_size=(3, 3), feature_group_count=2, padding=1, strides=2),
    dict(features=16, kernel_size=(3, 2), feature_group_count=16, padding="VALID", kernel_dilation=2),
    dict(features=64, kernel_size=(3, 3), feature_group_count=64, strides=2),
    dict(features=64, kernel_size=(5, 3), feature_group_count=64, padding=((2, 1), (0, 2)), kernel_dilation=(1, 2)),
    dict(features=128, kernel_size=(3, 3), feature_group_count=64),  # two maps of each channel
]


@pytest.mark.parametrize("fields", FIELDS)
def test_values_and_gradients_are_those_of_flax(fields):
    with jax.enable_x64(True):
        plain = nn.Conv(**fields, param_dtype=jnp.float64)
        ours = plain.clone(conv_general_dilated=grouped_conv)
        x = jax.random.normal(jax.random.key(0), (2, 9, 12, 64))
        variables = plain.init(jax.random.key(1), x)

        def differentiate(network):
            loss = lambda variables, x: jnp.sum(jnp.sin(network.apply(variables, x)))
            return network.apply(variables, x), jax.grad(loss, (0, 1))(variables, x)

        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9), *map(differentiate, (ours, plain)))
        # Zeros between groups are multiplied, but do not count.
        assert count_macs(ours.apply, variables, x) == count_macs(plain.apply, variables, x) > 0
