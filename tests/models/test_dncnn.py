"""DnCNN: the paper's counts, its layers, its reach, how it starts; merged statistics give the same answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.port import to_torch
from models.restoration.dncnn import LEAST, PORTS, DnCNN
from tests.models.parity import abstract, filled, quickly


def count(model, channels=1):
    variables = abstract(model, jnp.zeros((1, 40, 40, channels)), train=False)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_parameters():
    assert count(DnCNN()) == 556_097
    assert count(DnCNN(norm="none")) == 555_137
    assert count(DnCNN(depth=20)) == 667_073
    assert count(DnCNN(depth=20), channels=3) == 669_379


def test_the_first_and_the_last_convolution_have_no_normalisation_and_the_others_no_bias():
    params = abstract(DnCNN(depth=5), jnp.zeros((1, 8, 8, 3)), train=False)["params"]
    assert {name for name in params if name.startswith("norm")} == {"norm1", "norm2", "norm3"}
    assert {name for name in params if "bias" in params[name] and name.startswith("conv")} == {"conv0", "conv4"}


@pytest.mark.parametrize("depth", [3, 5])
def test_it_sees_2_depth_plus_1_pixels(depth):
    model, image = DnCNN(depth=depth, width=4), jnp.zeros((1, 15, 15, 1))
    variables = filled(abstract(model, image, train=False))
    variables = {**variables, "batch_stats": jax.tree.map(np.abs, variables["batch_stats"])}
    middle = lambda x: jnp.abs(model.apply(variables, x, train=False)[0, 7, 7]).sum()
    reached = np.asarray(quickly(jax.grad(middle))(image + 0.5))[0, ..., 0] != 0
    outside = np.ones((15, 15), bool)
    outside[7 - depth : 8 + depth, 7 - depth : 8 + depth] = False
    assert reached.sum() > (2 * depth - 1) ** 2 and not reached[outside].any()


def test_it_starts_with_small_answers():
    image = jnp.asarray(np.random.RandomState(0).uniform(size=(4, 16, 16, 3)), jnp.float32)
    model = DnCNN(depth=7)
    init = quickly(lambda key: model.init_with_output(key, image, train=True))
    noise, variables = init(jax.random.key(0))
    scale = variables["params"]["norm3"]["scale"]
    assert abs(noise).max() < 1 and noise.std() > 1e-3
    assert abs(scale).min() == pytest.approx(LEAST) and min(scale) < 0 < max(scale)


def test_the_layers_of_kair_are_numbered_with_their_activations():
    like = abstract(DnCNN(norm="none"), jnp.zeros((1, 8, 8, 1)), train=False)
    names = to_torch(filled(like), PORTS["kair"]).keys()
    assert names == {f"model.{2 * i}.{leaf}" for i in range(17) for leaf in ("weight", "bias")}
