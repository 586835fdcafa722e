"""The learning rate of each layer."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from models.classification import convnext, densenet, swin
from tests.models.parity import abstract
from training.layerwise import adamw_layerwise, depths

PARAMS = {
    "embedding": {"kernel": jnp.ones(2)},
    "positions": jnp.ones(2),
    "block0": {"mlp": {"kernel": jnp.ones(2)}},
    "block2": {"kernel": jnp.ones(2)},
    "block10": {"kernel": jnp.ones(2)},
    "norm": {"scale": jnp.ones(2)},
    "head": {"kernel": jnp.ones(2)},
}


def test_depth_is_the_place_of_a_layer_by_its_numbers():
    assert depths(PARAMS) == {
        "embedding/kernel": 0,
        "positions": 0,
        "block0/mlp/kernel": 1,
        "block2/kernel": 2,
        "block10/kernel": 3,
        "norm/scale": 4,
        "head/kernel": 4,
    }
    resnet = {name: jnp.ones(1) for name in ("conv1", "bn1", "layer1_0", "layer1_1", "layer2_0", "fc")}
    assert depths(resnet) == {"conv1": 1, "bn1": 1, "layer1_0": 2, "layer1_1": 3, "layer2_0": 4, "fc": 5}


@pytest.mark.parametrize(
    ("network", "last"),
    [
        (convnext.ConvNeXt(), ("norm", "classifier")),
        (swin.Swin(), ("norm", "head")),
        (densenet.DenseNet(), ("norm", "classifier")),
    ],
)
def test_what_lies_between_the_stages_of_a_network_is_a_layer(network, last):
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    params = abstract(network, image, train=False)["params"]
    found = {name.split("/")[0]: depth for name, depth in depths(params).items()}
    head = max(found.values())
    assert {name for name, depth in found.items() if depth == head} == set(last)
    between = [name for name in found if re.search("halve|merge$|transition", name)]
    assert len(between) == 3
    for name in between:
        below = [depth for other, depth in found.items() if re.fullmatch(r"(stage|block)\d+_\d+", other)]
        assert found[name] not in below and min(below) < found[name] < max(below)


def test_the_updates_are_those_of_adamw_times_a_power():
    gradients = jax.tree.map(lambda x: 0.3 * x, PARAMS)
    ours, theirs = adamw_layerwise(0.1, layer_decay=0.5), optax.adamw(0.1)
    found, _ = ours.update(gradients, ours.init(PARAMS), PARAMS)
    plain, _ = theirs.update(gradients, theirs.init(PARAMS), PARAMS)
    ratio = jax.tree.map(lambda a, b: float((a / b).mean()), found, plain)
    assert ratio["head"]["kernel"] == 1 and ratio["norm"]["scale"] == 1
    np.testing.assert_allclose(ratio["block10"]["kernel"], 0.5, rtol=1e-6)
    np.testing.assert_allclose(ratio["block0"]["mlp"]["kernel"], 0.125, rtol=1e-6)
    np.testing.assert_allclose(ratio["positions"], 0.0625, rtol=1e-6)
