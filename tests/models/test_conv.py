"""Convolutions whose gradients are written out are flax's, in values and in first and second derivatives."""

import contextlib
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.layers.conv import ConvTranspose, gradients_written_out


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def derivatives(module, variables, x, context=contextlib.nullcontext):
    """The output for x, a gradient, and the gradient of that gradient's norm, as in a gradient penalty."""

    def loss(variables, x):
        return jnp.sum(jnp.sin(module.apply(variables, x)))

    def penalty(variables, x):
        return sum(jnp.sum(g**2) for g in jax.tree.leaves(jax.grad(loss, argnums=(0, 1))(variables, x)))

    with context():
        call = lambda variables, x: (
            module.apply(variables, x),
            *(jax.grad(f, argnums=(0, 1))(variables, x) for f in (loss, penalty)),
        )
        return jax.jit(call)(variables, x), str(jax.make_jaxpr(call)(variables, x))


def compare(ours, theirs, x, in_order=True):
    variables = jax.jit(theirs.init)(jax.random.key(1), x)
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, jax.eval_shape(ours.init, jax.random.key(1), x))
    found, program = derivatives(ours, variables, x, gradients_written_out)
    expected, _ = derivatives(theirs, variables, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), found, expected)
    # What XLA has no fast path for in a loop is a convolution with permuted dimensions.
    orders = set(re.findall(r"[lr]hs_spec=\([\d, ]*\)", program))
    assert (orders <= {"lhs_spec=(0, 3, 1, 2)", "rhs_spec=(3, 2, 0, 1)"}) == in_order


@pytest.mark.parametrize(
    "fields",
    [
        dict(kernel_size=(3, 3)),
        dict(kernel_size=(5, 3), padding="VALID"),
        dict(kernel_size=(3, 3), strides=(2, 2)),
        dict(kernel_size=(2, 3), strides=(2, 1), padding=((1, 0), (2, 2))),
        dict(kernel_size=(3, 2), kernel_dilation=(2, 3)),
        dict(kernel_size=(3, 3), kernel_dilation=2, strides=3),
        dict(kernel_size=(1, 1), strides=(2, 2), use_bias=False),
        dict(kernel_size=(9, 8), padding="VALID"),
        dict(kernel_size=(8, 7), strides=(3, 4), padding="VALID"),
        dict(kernel_size=(3, 3), padding=((-1, 2), (3, 0))),
        dict(kernel_size=(3, 3), feature_group_count=2),
        dict(kernel_size=(3,)),
    ],
)
@pytest.mark.parametrize("channels", [1, 4, 40])
def test_as_flax(x64, fields, channels):
    channels = max(channels, fields.get("feature_group_count", 1))
    rows_and_columns = len(fields["kernel_size"]) == 2
    x = jax.random.normal(jax.random.key(0), (2, 9, 8, channels) if rows_and_columns else (2, 9, channels))
    module = nn.Conv(6, **fields, param_dtype=jnp.float64)
    compare(module, module, x, in_order=rows_and_columns and "feature_group_count" not in fields)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("kernel", "strides"), [(4, 2), (2, 2), (3, 2), (3, 1), (2, 3), (5, 3)])
@pytest.mark.parametrize("channels", [4, 60])
def test_transposed_as_flax(x64, kernel, strides, padding, channels):
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, channels))
    fields = dict(kernel_size=(kernel, kernel), strides=(strides, strides), padding=padding, param_dtype=jnp.float64)
    compare(ConvTranspose(3, **fields), nn.ConvTranspose(3, **fields, transpose_kernel=True), x)


def test_on_accelerators_they_are_left_to_jax(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    for module in (nn.Conv(2, (3, 3)), ConvTranspose(2, (3, 3))):
        _, program = derivatives(module, jax.jit(module.init)(jax.random.key(1), x), x, gradients_written_out)
        assert "custom_vjp" not in program


def test_afterwards_it_is_as_before():
    module, x = nn.Conv(2, (3, 3)), jax.random.normal(jax.random.key(0), (1, 4, 4, 1))
    with gradients_written_out():
        variables = module.init(jax.random.key(1), x)
        assert "custom_vjp" in str(jax.make_jaxpr(module.apply)(variables, x))
    assert "custom_vjp" not in str(jax.make_jaxpr(module.apply)(variables, x))
