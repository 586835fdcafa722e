"""Multiply-adds by hand."""

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
