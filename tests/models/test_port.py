"""Weights from torch: layouts, order of flattening, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.mlp import MLP
from models.errors import ModelError
from models.port import from_torch

RENAME = {r"^0\.": "hidden_0.", r"^2\.": "output."}


def state_dict():
    random = np.random.default_rng(0)
    shapes = {"0.weight": (5, 24), "0.bias": (5,), "2.weight": (3, 5), "2.bias": (3,)}
    return {name: random.standard_normal(shape) for name, shape in shapes.items()}


def like(images):
    model = MLP(hidden=(5,), num_classes=3)
    return model, jax.eval_shape(lambda key: model.init(key, images, train=False), jax.random.key(0))


def test_a_layer_that_reads_a_flattened_map_is_reordered():
    images = np.random.default_rng(1).standard_normal((2, 4, 3, 2)).astype(np.float32)  # NHWC
    model, variables = like(images)
    weights = state_dict()
    ported = from_torch(weights, variables, RENAME, flattened={"0": (2, 4, 3)})
    channels_first = images.transpose(0, 3, 1, 2).reshape(2, -1)
    hidden = np.maximum(channels_first @ weights["0.weight"].T + weights["0.bias"], 0)
    expected = hidden @ weights["2.weight"].T + weights["2.bias"]
    np.testing.assert_allclose(model.apply(ported, images, train=False), expected, rtol=1e-4)


def test_what_does_not_fit_is_refused():
    _, variables = like(jnp.zeros((2, 4, 3, 2)))
    weights = state_dict()
    with pytest.raises(ModelError, match=r"no place for 7\.weight"):
        from_torch({**weights, "7.weight": np.zeros(3)}, variables, RENAME)
    with pytest.raises(ModelError, match="no tensor for 1 leaves, the first params/output/bias"):
        from_torch({k: v for k, v in weights.items() if k != "2.bias"}, variables, RENAME)
    with pytest.raises(ModelError, match=r"2\.bias is \(4,\) and params/output/bias is \(3,\)"):
        from_torch({**weights, "2.bias": np.zeros(4)}, variables, RENAME)
