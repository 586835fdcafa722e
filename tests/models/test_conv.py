"""The transposed convolution is flax's, whatever the sizes, and so are its gradients."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from models.layers.conv import ConvTranspose


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("kernel", "strides"), [(4, 2), (2, 2), (3, 2), (3, 1), (2, 3), (5, 3)])
def test_as_flax_with_the_same_parameters(kernel, strides, padding):
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 4))
    fields = dict(kernel_size=(kernel, kernel), strides=(strides, strides), padding=padding)
    ours, theirs = ConvTranspose(3, **fields), nn.ConvTranspose(3, **fields, transpose_kernel=True)
    variables = ours.init(jax.random.key(1), x)
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, theirs.init(jax.random.key(1), x))

    def results(module):
        output, pull = jax.vjp(module.apply, variables, x)
        return output, pull(jax.random.normal(jax.random.key(2), output.shape))

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), results(ours), results(theirs))
