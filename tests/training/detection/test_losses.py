"""Losses against torchvision and by hand."""

import jax
import numpy as np

from training.detection import losses
from training.losses import sigmoid_focal


def test_the_focal_loss_is_that_of_torchvision(stored):
    np.testing.assert_allclose(sigmoid_focal(stored["logits"], stored["targets"]), stored["focal"], rtol=1e-10)


def test_smooth_l1_is_a_square_near_zero_and_meets_its_line_smoothly():
    of = lambda x: losses.smooth_l1(x, 0.5)
    np.testing.assert_allclose(of(np.array([0.1, -0.5, 2.0])), [0.01, 0.25, 1.75])
    np.testing.assert_allclose(jax.vmap(jax.grad(of))(np.array([0.499999, 0.500001])), [1, 1], atol=1e-5)
    np.testing.assert_array_equal(losses.smooth_l1(np.array([-3.0]), 0.0), [3.0])
