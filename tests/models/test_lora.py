"""LoRA begins as the network that it corrects, and can be merged into it."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from models.classification.vit import ViT
from models.errors import ModelError
from models.transfer.lora import LoRA, merged
from tests.models.parity import abstract, filled, quickly

FIELDS = dict(width=12, depth=2, heads=2, mlp=24, patch=8)
IMAGES = np.random.RandomState(0).standard_normal((2, 16, 16, 3)).astype(np.float32)
NETWORK = LoRA(ViT(**FIELDS, num_classes=0), rank=2, num_classes=5)


def test_its_parameters_are_those_of_the_network_and_the_corrections():
    own = flatten_dict(abstract(NETWORK, IMAGES, train=False)["params"], sep="/")
    alone = flatten_dict(abstract(ViT(**FIELDS, num_classes=5), IMAGES, train=False)["params"], sep="/")
    added = {name: x.shape for name, x in own.items() if name.startswith("lora_")}
    assert {name: x.shape for name, x in own.items() if name not in added} == {n: x.shape for n, x in alone.items()}
    assert added == {
        f"lora_block{i}.attention.{name}.{part}": shape
        for i in range(2)
        for name in ("query", "value")
        for part, shape in (("a", (12, 2)), ("b", (2, 12)))
    }
    free = {name for name in own if not re.search("^(?!lora_|head)", name)}
    assert free == added.keys() | {"head/kernel", "head/bias"}


def test_it_begins_as_the_network_alone():
    variables = quickly(lambda key: NETWORK.init(key, IMAGES, train=False))(jax.random.key(0))
    alone = {name: x for name, x in variables["params"].items() if not name.startswith("lora_")}
    logits = NETWORK.apply(variables, IMAGES, train=False)
    np.testing.assert_array_equal(logits, ViT(**FIELDS, num_classes=5).apply({"params": alone}, IMAGES, train=False))
    assert np.abs(logits).max() > 0


def test_merged_weights_give_the_same_answers():
    variables = jax.tree.map(lambda x: 0.3 * x, filled(abstract(NETWORK, IMAGES, train=False)))
    both = merged(NETWORK, variables)
    logits = NETWORK.apply(variables, IMAGES, train=False)
    plain = ViT(**FIELDS, num_classes=5).apply(both, IMAGES, train=False)
    np.testing.assert_allclose(plain, logits, rtol=1e-4, atol=1e-5)
    kept = {name: x for name, x in variables["params"].items() if not name.startswith("lora_")}
    assert not np.allclose(ViT(**FIELDS, num_classes=5).apply({"params": kept}, IMAGES, train=False), logits)


@pytest.mark.parametrize("layers", [("atention/query",), ("attention/query$", "mlp9"), ("norm1$",)])
def test_an_expression_that_fits_no_dense_layer_is_refused(layers):
    with pytest.raises(ModelError, match=f"layers={re.escape(repr(layers[-1]))} fits no dense layer of ViT"):
        abstract(NETWORK.clone(layers=layers), IMAGES, train=False)


def test_few_parameters_of_a_vision_transformer_are_trained():
    """ViT-Ti at rank 4 on ten classes: 1.4 % of its parameters."""
    network = LoRA(ViT("Ti", num_classes=0), num_classes=10)
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    params = flatten_dict(abstract(network, image, train=False)["params"], sep="/")
    size = lambda names: sum(params[name].size for name in names)
    free = [name for name in params if not re.search("^(?!lora_|head)", name)]
    assert size(free) == 12 * 2 * 2 * 192 * 4 + 193 * 10
    assert size(free) < 0.05 * size(params)
