"""Multiply-adds by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from models.counting import count_macs

M = jax.ShapeDtypeStruct((4, 4), jnp.float32)
PRODUCT = 4 * 4 * 4


def conv(x, kernel, strides=1, groups=1, **kwargs):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
        **kwargs,
    )


def test_convolutions():
    x = jnp.zeros((1, 8, 8, 6))
    assert count_macs(conv, x, jnp.zeros((3, 3, 6, 5))) == 64 * 9 * 6 * 5
    assert count_macs(lambda x, k: conv(x, k, strides=2), x, jnp.zeros((3, 3, 6, 5))) == 16 * 9 * 6 * 5
    assert count_macs(lambda x, k: conv(x, k, groups=6), x, jnp.zeros((3, 3, 1, 12))) == 64 * 9 * 12


def test_transposed_convolution_counts_the_inputs():
    def up(x, kernel):
        return jax.lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    assert count_macs(up, jnp.zeros((1, 8, 8, 6)), jnp.zeros((4, 4, 6, 5))) == 64 * 16 * 6 * 5


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv(16, (5, 5), padding="VALID"),
        nn.Conv(16, (3, 3), strides=2, padding=1),
        nn.Conv(8, (3, 3), kernel_dilation=2),
        nn.Conv(6, (3, 3), feature_group_count=6),
        nn.ConvTranspose(16, (2, 2), strides=(2, 2)),
        nn.ConvTranspose(16, (4, 4), strides=(2, 2)),
    ],
    ids=["valid", "strided", "dilated", "depthwise", "transposed", "transposed, overlapping"],
)
def test_the_gradients_of_a_convolution_cost_two_more(layer):
    """One by the kernel, one by the image, whatever form JAX gives them."""
    image = jnp.zeros((2, 14, 14, 6))
    variables = jax.eval_shape(layer.init, jax.random.key(0), image)
    gradients = jax.grad(lambda variables, image: layer.apply(variables, image).sum(), (0, 1))
    assert count_macs(gradients, variables, image) == 3 * count_macs(layer.apply, variables, image) > 0


def test_batched_products():
    a, b = jnp.zeros((2, 3, 4, 5)), jnp.zeros((2, 3, 5, 7))
    assert count_macs(jnp.matmul, a, b) == 2 * 3 * 4 * 5 * 7


def test_products_inside_other_programs():
    scan = lambda m: jax.lax.scan(lambda c, _: (c @ m, None), m, None, length=7)[0]
    assert count_macs(scan, M) == 7 * PRODUCT
    assert count_macs(jax.jit(lambda m: jax.checkpoint(lambda a: a @ a)(m)), M) == PRODUCT
    branches = lambda m: jax.lax.cond(m[0, 0] > 0, lambda: m, lambda: m @ m @ m)
    assert count_macs(branches, M) == 2 * PRODUCT
    custom = jax.custom_jvp(lambda m: m @ m)
    custom.defjvp(lambda primals, tangents: (custom(*primals), tangents[0]))
    assert count_macs(custom, M) == PRODUCT
    assert count_macs(jax.grad(lambda m: (m @ m).sum()), M) == 3 * PRODUCT


def test_shard_map_counts_every_device():
    devices = len(jax.devices())
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    x = jax.ShapeDtypeStruct((8 * devices, 4), jnp.float32)
    product = jax.shard_map(lambda x, m: x @ m, mesh=mesh, in_specs=(P("data"), P()), out_specs=P("data"))
    assert count_macs(product, x, M) == 8 * devices * 16


def test_a_while_loop_is_refused_only_if_it_multiplies():
    loop = lambda m: jax.lax.while_loop(lambda a: a.sum() < 9, lambda a: a @ a, m)
    with pytest.raises(ValueError, match="while loop"):
        count_macs(loop, M)
    assert count_macs(lambda m: jax.lax.while_loop(lambda a: a.sum() < 9, lambda a: a + 1, m), np.ones(3)) == 0
