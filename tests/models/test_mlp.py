"""The multilayer perceptron: counts and its special cases."""

import jax
import numpy as np
import pytest

from models.classification.mlp import MLP
from models.counting import parameter_table
from models.errors import ModelError


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
