"""Codes of boxes: against torchvision, and there and back."""

import jax.numpy as jnp
import numpy as np
import pytest

from training.detection import coders

WEIGHTS = {"plain": (1, 1, 1, 1), "weighted": (10, 10, 5, 5)}


@pytest.mark.parametrize("name", WEIGHTS)
def test_codes_are_those_of_torchvision(stored, name):
    weights = WEIGHTS[name]
    encoded = coders.encode(stored["b"], stored["a"], weights)
    np.testing.assert_allclose(encoded, stored[f"encoded_{name}"], rtol=1e-10)
    np.testing.assert_allclose(coders.decode(encoded, stored["a"], weights), stored["b"], rtol=1e-10)
    decoded = coders.decode(stored[f"codes_{name}"], stored["a"], weights)
    np.testing.assert_allclose(decoded, stored[f"decoded_{name}"], rtol=1e-10)


def test_distances_are_those_of_torchvision(stored):
    encoded = coders.encode_distances(stored["b"], stored["squares"])
    np.testing.assert_allclose(encoded, stored["distances"], rtol=1e-10)
    np.testing.assert_allclose(coders.decode_distances(encoded, stored["squares"]), stored["b"], rtol=1e-10)
    decoded = coders.decode_distances(stored["codes_weighted"], stored["squares"])
    np.testing.assert_allclose(decoded, stored["of_distances"], rtol=1e-10)


def test_scales_are_cut_off_and_padding_is_finite():
    anchor = jnp.array([0.0, 0, 16, 16])
    far = coders.decode(jnp.array([0.0, 0, 50, 50]), anchor)
    np.testing.assert_allclose(far[2:] - far[:2], 1000, rtol=1e-6)
    assert np.isfinite(coders.encode(jnp.zeros(4), anchor)).all()
