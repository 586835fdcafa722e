"""Dropout that takes a traced rate, and rates by network."""

import jax
import jax.numpy as jnp
import numpy as np

from models.classification.vit import ViT
from models.interfaces import with_rates
from models.layers.dropout import Dropout
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, filled, quickly


def test_dropout_keeps_the_mean_and_drops_its_rate():
    x = jnp.ones((100, 100))
    y = Dropout(0.25).apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    np.testing.assert_allclose(y.mean(), 1.0, atol=0.02)
    np.testing.assert_array_equal(Dropout(0.25).apply({}, x, train=False), x)
    np.testing.assert_array_equal(Dropout(0.0).apply({}, x, train=True), x)  # asks for no rng


def kept(rate):
    return (Dropout(rate).apply({}, jnp.ones(10_000), True, rngs={"dropout": jax.random.key(0)}) > 0).mean()


def test_a_dropout_rate_may_be_traced():
    shares = jax.jit(jax.vmap(kept))(jnp.array([0.0, 0.3, 0.9, 1.0]))
    np.testing.assert_allclose(shares, [1.0, 0.7, 0.1, 0.0], atol=0.02)
    slope = jax.grad(lambda r: Dropout(r).apply({}, jnp.ones(4), True, rngs={"dropout": jax.random.key(0)}).sum())
    assert jnp.isfinite(slope(1.0))


def test_traced_rates_give_the_same_numbers_as_the_fields():
    """Stochastic depth too, whose first block has rate 0 in one case and a traced 0 in the other."""
    images = seeded_images(2, 16, 16, 3)
    plain = ViT(width=12, depth=2, heads=3, mlp=24, patch=8, num_classes=5, dropout_rate=0.5, stochastic_depth=0.5)
    variables = filled(abstract(plain, images, train=False))

    def apply(network):
        return network.apply(variables, images, train=True, rngs={"dropout": jax.random.key(1)})

    other = plain.clone(dropout_rate=0.1, stochastic_depth=0.1)
    traced = quickly(lambda rates: apply(with_rates(other, rates)))
    rates = {"dropout_rate": 0.5, "stochastic_depth": 0.5}
    np.testing.assert_allclose(traced(rates), quickly(lambda: apply(plain))(), rtol=1e-4, atol=1e-4)
    assert not np.allclose(traced(rates | {"stochastic_depth": 0.9}), traced(rates))
    assert traced._cache_size() == 1
