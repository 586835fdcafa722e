"""Every published count is that of our network."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from models import MODELS
from models.counting import jaxpr_macs
from models.published import LICENCES, PUBLISHED
from tests.models.test_table import entry


def describe(row):
    return " ".join([row.network, *map(str, row.fields.values()), str(row.resolution), str(row.classes)])


@pytest.mark.parametrize("row", PUBLISHED, ids=describe)
def test_counts_are_the_published_ones(row):
    _, cls, fixed = entry(row.network)
    network = cls(**{**fixed, **row.fields, "num_classes": row.classes})
    x = jax.ShapeDtypeStruct((1, row.resolution, row.resolution, row.channels), jnp.float32)
    # The trace of an initialisation has the multiply-adds of one forward pass.
    initialise = partial(network.init_with_output, train=False)
    jaxpr, (logits, variables) = jax.make_jaxpr(initialise, return_shape=True)(jax.random.key(0), x)
    assert logits.shape == (1, row.classes)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == row.parameters
    if row.macs:
        assert jaxpr_macs(jaxpr.jaxpr) == pytest.approx(row.macs, rel=0.01)


def test_weights_have_a_licence():
    assert {row.weights for row in PUBLISHED} - {""} <= LICENCES.keys()
    assert all(bool(row.top1) <= bool(row.weights) for row in PUBLISHED)


def test_every_classifier_has_a_row():
    classifiers = {name for name in MODELS if entry(name)[0].__name__.startswith("models.classification.")}
    assert classifiers - {"mlp"} <= {row.network for row in PUBLISHED}
