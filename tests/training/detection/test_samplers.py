"""Samples of anchors: their numbers, their chances, and the hardest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training.detection import samplers


@pytest.mark.parametrize(("positives", "expected"), [(0, (0, 10)), (3, (3, 7)), (20, (5, 5))])
def test_positive_ones_are_at_most_their_fraction_and_negative_ones_fill_up(positives, expected):
    labels = jnp.where(jnp.arange(60) < positives, 1, jnp.where(jnp.arange(60) < 50, 0, -1))
    positive, negative = jax.jit(lambda key: samplers.balanced(labels, key, 10, 0.5))(jax.random.key(0))
    assert (positive.sum(), negative.sum()) == expected
    assert (labels[positive] == 1).all() and (labels[negative] == 0).all()


def test_too_few_give_fewer():
    positive, negative = samplers.balanced(jnp.array([1, 0, 0, -1]), jax.random.key(0), 10, 0.5)
    np.testing.assert_array_equal(positive | negative, [True, True, True, False])


def test_each_negative_one_has_the_same_chance():
    keys = jax.random.split(jax.random.key(1), 2000)
    _, negative = jax.vmap(lambda key: samplers.balanced(jnp.zeros(20, int), key, 5, 0.5))(keys)
    np.testing.assert_allclose(negative.mean(0), 0.25, atol=0.04)


def test_the_hardest_negative_ones_count():
    losses = jnp.array([9.0, 1, 5, 3, 5, 2])
    positive = jnp.array([True, False, False, False, False, False])
    np.testing.assert_array_equal(samplers.hard_negatives(losses, positive, 3.0), [0, 0, 1, 1, 1, 0])
    assert not samplers.hard_negatives(losses, jnp.zeros(6, bool), 3.0).any()
