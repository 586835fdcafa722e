"""MADE: its count, that an output reads only earlier inputs, and that a step answers as the whole does."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.counting import parameter_table
from models.errors import ModelError
from models.generative.made import MADE
from tests.models.parity import abstract, filled, quickly


def test_parameters():
    assert sum(count for *_, count in parameter_table(MADE(), (1, 28, 28, 1))) == 12_552_784


@pytest.mark.parametrize("hidden", [(40,), (40, 30)])
@pytest.mark.parametrize("outputs", [1, 3])
def test_an_output_reads_all_inputs_before_it_and_no_other(hidden, outputs):
    model, x = MADE((2, 3, 2), hidden, outputs), jnp.linspace(0.2, 0.7, 12).reshape(1, 2, 3, 2)
    variables = jax.tree.map(jnp.abs, filled(abstract(model, x, train=False)))  # no unit is off, no path cancels
    jacobian = quickly(jax.jacobian(lambda x: model.apply(variables, x, train=False)))(x)
    reads = np.asarray(jacobian).reshape(12, outputs, 12).any(1)
    np.testing.assert_array_equal(reads, np.tril(np.ones((12, 12), bool), -1))


def test_steps_answer_as_the_whole_does():
    model, x = MADE((2, 3, 2), (20, 10), 3), jnp.asarray(np.random.RandomState(0).uniform(size=(2, 2, 3, 2)))
    variables = filled(abstract(model, x, train=False))
    whole = model.apply(variables, x, train=False).reshape(2, 12, 3)
    cache, step = {}, quickly(partial(model.apply, method="step", mutable=["cache"]))
    for position in range(12):
        known = jnp.where(jnp.arange(12) < position, x.reshape(2, 12), 9.0).reshape(x.shape)  # 9: must not be read
        output, cache = step({**variables, **cache}, known, position)
        np.testing.assert_allclose(output, whole[:, position], rtol=1e-4, atol=1e-4)


def test_masks_need_a_hidden_layer():
    with pytest.raises(ModelError, match="hidden=\\(\\): the masks need a hidden layer"):
        parameter_table(MADE(hidden=()), (1, 28, 28, 1))
