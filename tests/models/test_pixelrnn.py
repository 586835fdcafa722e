"""PixelRNN: what a value sees, and the LSTM along diagonals pixel by pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.errors import ModelError
from models.generative.pixelrnn import DiagonalBiLSTM, PixelRNN, skew, unskew
from tests.models.parity import abstract, filled, quickly


@pytest.mark.parametrize("variant", ["row", "diagonal"])
def test_a_value_sees_values_before_it_and_along_diagonals_all_of_them(variant):
    """But for the last value of the row above, which the first pixel of a row gets from the first kernel alone."""
    model = PixelRNN(variant, width=3, depth=2, first=3, hidden=3, outputs=2)
    with jax.enable_x64(True):
        x = jnp.linspace(0.6, 0.9, 36).reshape(1, 4, 3, 3)  # positive as scaled, so that no unit is off
        variables = jax.tree.map(lambda leaf: 0.05 * jnp.abs(leaf) + 0.02, filled(abstract(model, x, train=False)))
        compute = lambda x: model.apply(variables, x, train=False).reshape(36, -1).sum(1)
        seen = np.asarray(quickly(jax.jacobian(compute))(x)).reshape(36, 36) != 0
    assert not np.triu(seen).any()
    if variant == "diagonal":
        before = np.tril(np.ones((36, 36), bool), -1)
        for row in (1, 2, 3):
            before[9 * row : 9 * row + 3, 9 * row - 1] = False
        np.testing.assert_array_equal(seen, before)
    else:
        later = np.arange(36).reshape(4, 3, 3)[:, 1:].ravel()
        assert seen[later, later - 3].all()  # the same channel of the pixel to the left


def test_a_skewed_image_has_its_diagonals_as_columns():
    x = jnp.arange(12.0).reshape(1, 3, 4, 1)
    skewed = skew(x)[0, ..., 0]
    np.testing.assert_array_equal(skewed, [[0, 1, 2, 3, 0, 0], [0, 4, 5, 6, 7, 0], [0, 0, 8, 9, 10, 11]])
    np.testing.assert_array_equal(unskew(skew(x)), x)


def test_the_lstm_along_diagonals_is_that_of_its_equations():
    """h(i, j) from h(i − 1, j) and h(i, j − 1), and mirrored, moved down by a row."""
    height, width, h = 3, 4, 2
    model, x = DiagonalBiLSTM(h, np.ones((5, 4 * h), bool), None, jnp.float32), np.random.RandomState(0)
    x = x.normal(size=(1, height, width, 5)).astype(np.float32)
    params = jax.tree.map(lambda leaf: 0.5 * leaf, filled(abstract(model, x))["params"])
    sigmoid = lambda x: 1 / (1 + np.exp(-x))

    def along(x, name):
        conv, kernel = params[f"{name}_inputs"], params[f"{name}_kernel"]
        given, states = x @ conv["kernel"][0, 0] + conv["bias"], {}
        for i in range(height):
            for j in range(width):
                above, beside = (states.get(at, np.zeros((2, h))) for at in ((i - 1, j), (i, j - 1)))
                # In the skewed image the state of the column before is at the same row: the pixel beside.
                gates = given[i, j] + above[0] @ kernel[0] + beside[0] @ kernel[1]
                o, f, k, g = np.split(gates, 4)
                cell = sigmoid(f) * beside[1] + sigmoid(k) * np.tanh(g)
                states[i, j] = np.stack([sigmoid(o) * np.tanh(cell), cell])
        return np.stack([[states[i, j][0] for j in range(width)] for i in range(height)])

    right = along(x[0, :, ::-1], "right")[:, ::-1]
    expected = along(x[0], "left") + np.concatenate([np.zeros((1, width, h)), right[:-1]])
    np.testing.assert_allclose(quickly(model.apply)({"params": params}, x)[0], expected, rtol=1e-4, atol=1e-5)


def test_an_unknown_variant_is_one_clear_line():
    with pytest.raises(ModelError, match="did you mean 'diagonal'"):
        abstract(PixelRNN("diagonally"), jnp.zeros((1, 4, 4, 1)), train=False)
