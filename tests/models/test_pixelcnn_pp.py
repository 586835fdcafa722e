"""PixelCNN++: the authors' counts, and that a pixel sees all pixels before it and no other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.errors import ModelError
from models.generative.pixelcnn_pp import PixelCNNpp
from tests.models.parity import abstract, filled, quickly


@pytest.mark.parametrize(
    ("width", "channels", "parameters"), [(160, 3, 53_659_080), (160, 1, 53_644_220), (80, 3, 13_440_840)]
)
def test_parameters(width, channels, parameters):
    variables = abstract(PixelCNNpp(width), jnp.zeros((1, 32, 32, channels)), train=False)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == parameters


def test_a_pixel_sees_all_pixels_before_it_and_no_other():
    model, x = PixelCNNpp(2, 1, 1), jnp.linspace(-0.6, 0.7, 32).reshape(1, 8, 4, 1)
    with jax.enable_x64(True):
        x = x.astype(jnp.float64)
        variables = jax.tree.map(lambda leaf: 0.3 * jnp.abs(leaf) + 0.1, filled(abstract(model, x, train=False)))
        compute = lambda x: model.apply(variables, x, train=False).reshape(32, -1).sum(1)
        jacobian = quickly(jax.jacobian(compute))(x).reshape(32, 32)
    np.testing.assert_array_equal(jacobian != 0, np.tril(np.ones((32, 32), bool), -1))


def test_sides_that_cannot_be_halved_twice_are_one_clear_line():
    with pytest.raises(ModelError, match="6×8 cannot be halved twice"):
        abstract(PixelCNNpp(2, 1), jnp.zeros((1, 6, 8, 1)), train=False)
