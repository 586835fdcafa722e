"""The exact assignment against scipy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from training.detection.assignment import assign


def test_it_is_as_cheap_as_that_of_scipy():
    rng = np.random.default_rng(0)
    costs = rng.normal(size=(200, 6, 15))
    costs[100:] = rng.integers(0, 4, (100, 6, 15))  # many equals
    there = rng.random((200, 6)) < 0.7
    there[0], there[1] = False, True
    found = np.asarray(jax.jit(jax.vmap(assign))(costs, there))
    for cost, rows, columns in zip(costs, there, found, strict=True):
        own = columns[rows]
        assert (columns[~rows] == -1).all() and (own >= 0).all() and len(set(own)) == rows.sum()
        best = cost[rows][linear_sum_assignment(cost[rows])].sum()
        np.testing.assert_allclose(cost[rows, own].sum(), best, atol=1e-9)
        if len(np.unique(cost)) == cost.size:
            np.testing.assert_array_equal(own, linear_sum_assignment(cost[rows])[1])


def test_as_many_columns_as_rows_are_all_used():
    costs = np.random.default_rng(1).normal(size=(8, 8))
    assert sorted(np.asarray(assign(jnp.asarray(costs), jnp.ones(8, bool)))) == list(range(8))
    with pytest.raises(ValueError, match="9 rows cannot each have one of 8 columns"):
        assign(jnp.zeros((9, 8)), jnp.ones(9, bool))
