"""Convolutions as products are the convolutions, in values and gradients, whatever their geometry."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from models.layers.products import convolutions_as_products


@pytest.mark.parametrize(
    "fields",
    [
        dict(kernel_size=(3, 3)),
        dict(kernel_size=(5, 3), padding="VALID"),
        dict(kernel_size=(3, 3), strides=(2, 2)),
        dict(kernel_size=(2, 3), strides=(2, 1), padding=((1, 0), (2, 2))),
        dict(kernel_size=(3, 2), kernel_dilation=(2, 3)),
        dict(kernel_size=(1, 1), strides=(2, 2), use_bias=False),
        dict(kernel_size=(9, 8), padding="VALID"),
        dict(kernel_size=(8, 7), strides=(3, 4), padding="VALID"),
        dict(kernel_size=(3, 3), feature_group_count=2),
        dict(kernel_size=(3,)),
    ],
)
@pytest.mark.parametrize("channels", [1, 4])
def test_as_linen(fields, channels):
    channels = max(channels, fields.get("feature_group_count", 1))
    shape = (2, 9, channels) if len(fields["kernel_size"]) == 1 else (2, 9, 8, channels)
    module, x = nn.Conv(6, **fields), jax.random.normal(jax.random.key(0), shape)
    variables = module.init(jax.random.key(1), x)

    def results():
        output, pull = jax.vjp(module.apply, variables, x)
        return output, pull(jax.random.normal(jax.random.key(2), output.shape))

    expected = results()
    with convolutions_as_products():
        found = results()
        program = str(jax.make_jaxpr(module.apply)(variables, x))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)
    plain = "feature_group_count" not in fields and len(fields["kernel_size"]) == 2
    assert ("conv_general_dilated" not in program) == plain


def test_afterwards_it_is_a_convolution_again():
    module, x = nn.Conv(2, (3, 3)), jax.random.normal(jax.random.key(0), (1, 4, 4, 1))
    with convolutions_as_products():
        variables = module.init(jax.random.key(1), x)
    assert "conv_general_dilated" in str(jax.make_jaxpr(module.apply)(variables, x))
