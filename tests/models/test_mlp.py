"""The multilayer perceptron, and dropout that takes a traced rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.mlp import MLP
from models.counting import parameter_table
from models.errors import ModelError
from models.layers.dropout import Dropout


def test_counts():
    counts = [count for _, _, count in parameter_table(MLP(hidden=(32, 16)), (1, 8, 8, 1))]
    assert sum(counts) == 64 * 32 + 32 + 32 * 16 + 16 + 16 * 10 + 10


def test_no_hidden_layer_is_logistic_regression():
    x = jax.random.normal(jax.random.key(1), (3, 4, 4, 1))
    logits, variables = MLP(hidden=()).init_with_output(jax.random.key(0), x, train=False)
    np.testing.assert_allclose(logits, x.reshape(3, 16) @ variables["params"]["output"]["kernel"], rtol=1e-5)


def test_a_misspelt_activation_names_the_nearest():
    with pytest.raises(ModelError, match="did you mean 'relu'"):
        parameter_table(MLP(activation="rleu"), (1, 8, 8, 1))


def test_dropout_keeps_the_mean_and_drops_its_rate():
    x = jnp.ones((100, 100))
    y = Dropout(0.25).apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    np.testing.assert_allclose(y.mean(), 1.0, atol=0.02)
    np.testing.assert_array_equal(Dropout(0.25).apply({}, x, train=False), x)
    np.testing.assert_array_equal(Dropout(0.0).apply({}, x, train=True), x)  # asks for no rng


def test_dropout_rate_may_be_traced():
    def mean_kept(rate):
        rngs = {"dropout": jax.random.key(0)}
        return (MLP(hidden=(), dropout_rate=rate), Dropout(rate).apply({}, jnp.ones(10_000), True, rngs=rngs) > 0)[
            1
        ].mean()

    kept = jax.jit(jax.vmap(mean_kept))(jnp.array([0.0, 0.3, 0.9, 1.0]))
    np.testing.assert_allclose(kept, [1.0, 0.7, 0.1, 0.0], atol=0.02)
    slope = jax.grad(lambda r: Dropout(r).apply({}, jnp.ones(4), True, rngs={"dropout": jax.random.key(0)}).sum())
    assert jnp.isfinite(slope(1.0))
