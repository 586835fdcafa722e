"""Network in Network: its count, its maps, and what a map says of a class."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.nin import NIN
from models.counting import count_macs
from models.interfaces import Map, feature_maps

IMAGE = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)


@pytest.mark.parametrize(("classes", "count"), [(10, 966_986), (100, 984_356)])
def test_parameters_are_those_of_the_authors_network(classes, count):
    shapes = jax.eval_shape(functools.partial(NIN(num_classes=classes).init, train=False), jax.random.key(0), IMAGE)
    assert sum(x.size for x in jax.tree.leaves(shapes)) == count


def test_multiply_adds_follow_from_maps_of_32_16_and_8():
    model = NIN()
    shapes = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), IMAGE)
    found = count_macs(functools.partial(model.apply, train=False), shapes, IMAGE)
    layers = ((32, 75, 192, 160, 96), (16, 25 * 96, 192, 192, 192), (8, 9 * 192, 192, 192, 10))
    assert found == sum(side**2 * sum(a * b for a, b in itertools.pairwise(widths)) for side, *widths in layers)


def test_maps_halve_twice():
    expected = {"stage1": Map(1, 96), "stage2": Map(2, 192), "stage3": Map(4, 192)}
    found = feature_maps(NIN(num_classes=0), (32, 32, 3))
    assert {name: found[name] for name in expected} == expected


def test_a_class_is_the_mean_of_its_map():
    model, x = NIN(num_classes=3, dropout_rate=0.0), jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
    variables = jax.jit(functools.partial(model.init, train=False))(jax.random.key(0), x)
    logits = model.apply(variables, x, train=False)
    maps = model.clone(num_classes=0).apply(variables, x, train=False)["stage3"]
    head = variables["params"]["conv3_3"]
    expected = jnp.maximum(maps @ head["kernel"][0, 0] + head["bias"], 0).mean((1, 2))
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
