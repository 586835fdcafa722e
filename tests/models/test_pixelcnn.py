"""What a value sees in PixelCNN and in Gated PixelCNN, channel order included; steps answer as the whole does."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.generative.gated_pixelcnn import GatedPixelCNN
from models.generative.pixelcnn import PixelCNN
from tests.models.parity import abstract, filled, quickly

SMALL = dict(width=6, depth=5, first=3, hidden=6, outputs=2)
SIDE, COUNT = 5, 5 * 5 * 3


def reads(model, shape=(1, SIDE, SIDE, 3), **label):
    """[values, values] bool: which outputs depend on which inputs."""
    x = jnp.linspace(0.2, 0.7, int(np.prod(shape))).reshape(shape)
    # No path cancels where every weight is positive, and no gate is closed where they are small.
    variables = jax.tree.map(lambda leaf: 0.05 * jnp.abs(leaf) + 0.02, filled(abstract(model, x, train=False, **label)))
    compute = lambda x: model.apply(variables, x / 2 + 0.5, train=False, **label).reshape(x.size, -1).sum(1)
    with jax.enable_x64(True):
        jacobian = quickly(jax.jacobian(compute))(x.astype(jnp.float64))
    return np.asarray(jacobian).reshape(x.size, x.size) != 0


def test_gated_pixelcnn_sees_every_value_before_and_no_other():
    np.testing.assert_array_equal(reads(GatedPixelCNN(**SMALL)), np.tril(np.ones((COUNT, COUNT), bool), -1))


def test_pixelcnn_sees_the_values_before_except_for_its_blind_spot():
    """In the row d above, 3×3 kernels see d columns to the right at most, however many there are."""
    found = reads(PixelCNN(**SMALL))
    assert not np.triu(found).any()
    rows, columns, _ = np.unravel_index(np.arange(COUNT), (SIDE, SIDE, 3))
    beyond = columns - columns[:, None] > rows[:, None] - rows
    blind = np.tril(beyond, -1) & (rows < rows[:, None])
    np.testing.assert_array_equal(found, np.tril(~blind, -1))
    assert blind.any()


@pytest.mark.parametrize(
    ("network", "label"),
    [
        (PixelCNN(**SMALL), {}),
        (GatedPixelCNN(**SMALL, conditional=True), {"label": jnp.array([3, -1])}),
        (GatedPixelCNN(**SMALL, embedding=3), {}),
    ],
)
def test_steps_answer_as_the_whole_does(network, label):
    x = jnp.asarray(np.random.RandomState(0).randint(0, 2, (2, 3, 4, 3)), jnp.float32)
    variables = jax.tree.map(lambda leaf: 0.3 * leaf, filled(abstract(network, x, train=False, **label)))
    whole = network.apply(variables, x, train=False, **label).reshape(2, 36, 2)
    init = partial(network.init, method="step", **label)
    cache = jax.tree.map(jnp.zeros_like, init(jax.random.key(0), x, 0))["cache"]
    step = quickly(partial(network.apply, method="step", mutable=["cache"], **label))
    for position in range(36):
        known = jnp.where(jnp.arange(36) < position, x.reshape(2, 36), 0.0).reshape(x.shape)
        output, moved = step({**variables, "cache": cache}, known, position)
        cache = moved["cache"]
        np.testing.assert_allclose(output, whole[:, position], rtol=1e-4, atol=1e-5)


def test_a_class_moves_the_answer_and_none_is_the_absence_of_one():
    network, x = GatedPixelCNN(**SMALL, conditional=True), jnp.full((2, 3, 3, 1), 0.5)
    variables = filled(abstract(network, x, train=False, label=jnp.zeros(2, jnp.int32)))
    answer = lambda label: network.apply(variables, x, train=False, label=jnp.asarray(label))
    one, other = answer([1, 2])
    assert not np.allclose(one, other)
    free = {name: layer for name, layer in variables["params"].items() if not name.startswith("label")}
    vertical = {name: layer for name, layer in free["vertical"].items() if not name.startswith("label")}
    without = GatedPixelCNN(**SMALL).apply({"params": {**free, "vertical": vertical}}, x, train=False)
    np.testing.assert_allclose(answer([-1, -1]), without, rtol=1e-5)
