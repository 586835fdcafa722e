"""Normalisations by name: each is its equation, and the activation table is shared."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import models
from models.errors import ModelError
from models.layers.norm import NORMS, norm
from tests.goldens.make_classification import seeded_images

X = 3 + 2 * seeded_images(4, 5, 6, 8)


def normalised(x, axes):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


EXPECTED = {
    "batch": normalised(X, (0, 1, 2)),
    "layer": normalised(X, (3,)),
    "group": normalised(X.reshape(4, 5, 6, 2, 4), (1, 2, 4)).reshape(X.shape),
    "instance": normalised(X, (1, 2)),
    "rms": X / np.sqrt((X**2).mean(-1, keepdims=True) + 1e-5),
    "none": X,
}


@pytest.mark.parametrize("name", NORMS)
def test_a_normalisation_is_its_equation(name):
    fields = {"num_groups": 2} if name == "group" else {}
    layer = norm(name, True, None, None, jnp.float32, **fields)(name="norm1")
    if name == "none":
        np.testing.assert_array_equal(layer(X), X)
        return
    variables = layer.init(jax.random.key(0), X)
    assert {leaf.shape for leaf in jax.tree.leaves(variables)} == {(8,)}
    y, _ = layer.apply(variables, X, mutable=["batch_stats"])
    np.testing.assert_allclose(y, EXPECTED[name], rtol=1e-3, atol=1e-3)


def test_fields_override_the_defaults():
    layer = norm("batch", False, None, None, jnp.float32, epsilon=1e-3)()
    assert (layer.epsilon, layer.momentum, layer.use_running_average) == (1e-3, 0.9, True)


def test_an_unknown_normalisation_names_the_nearest():
    with pytest.raises(ModelError, match="did you mean 'batch'"):
        norm("batchnorm", True, None, None, jnp.float32)


def test_every_network_takes_its_normalisations_from_the_table():
    made = re.compile(r"nn\.(Batch|Layer|Group|Instance|RMS)Norm\b")
    files = pathlib.Path(models.__file__).parent.rglob("*.py")
    assert {path.name for path in files if made.search(path.read_text())} == {"norm.py"}
