import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.layers.pool import max_pool


@pytest.mark.parametrize(("shape", "size"), [((2, 6, 8, 3), 2), ((2, 7, 5, 3), 2), ((1, 9, 10, 2), 3)])
def test_values_and_gradients_are_those_of_linen_with_ties_and_a_remainder(shape, size):
    x = jax.random.randint(jax.random.key(0), shape, 0, 3).astype(float)  # few values, so that many are equal
    weight = jax.random.normal(jax.random.key(1), nn.max_pool(x, (size, size), (size, size)).shape)
    theirs = lambda x: nn.max_pool(x, (size, size), (size, size))
    np.testing.assert_array_equal(max_pool(x, size), theirs(x))
    ours, expected = (jax.grad(lambda x, f=f: (weight * f(x)).sum())(x) for f in (lambda x: max_pool(x, size), theirs))
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_what_is_no_number_stays_visible(place):
    x = jnp.zeros((1, 2, 2, 1)).at[0, *place, 0].set(jnp.nan)
    assert jnp.isnan(max_pool(x)).all()
    assert jnp.isnan(jax.value_and_grad(lambda x: max_pool(x).sum())(x)[0])
