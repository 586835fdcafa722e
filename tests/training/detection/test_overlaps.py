"""Overlaps against torchvision, with gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training import boxes
from training.detection import overlaps

OVERLAPS = {"giou": boxes.generalised_iou, "diou": overlaps.distance_iou, "ciou": overlaps.complete_iou}


@pytest.mark.parametrize("name", OVERLAPS)
def test_values_and_gradients_are_those_of_torchvision(stored, name):
    of = jax.jit(lambda a: 1 - OVERLAPS[name](a, stored["b"]))
    np.testing.assert_allclose(of(stored["a"]), stored[name], rtol=1e-6, atol=1e-7)
    gradient = jax.grad(lambda a: of(a).sum())(jnp.asarray(stored["a"]))
    np.testing.assert_allclose(gradient, stored[f"{name}_gradient"], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", OVERLAPS)
def test_padding_has_a_finite_gradient(name):
    found = jnp.array([[0.0, 0, 0, 0], [1, 2, 5, 9]])
    gradient = jax.grad(lambda b: OVERLAPS[name](b[:, None], found).sum())(found)
    assert np.isfinite(gradient).all()


def test_the_iou_of_pairs_is_that_of_torchvision(stored):
    found = boxes.iou(stored["truth"][:, None], stored["anchors"])
    np.testing.assert_allclose(found, stored["iou"], rtol=1e-12, atol=1e-15)
