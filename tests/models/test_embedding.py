"""Embeddings have length 1, and the backbone keeps its own parameters."""

import jax
import jax.numpy as jnp
import numpy as np

from models.classification.lenet import LeNet5
from models.metric.embedding import Embedding
from tests.models.parity import abstract, quickly

IMAGE = jnp.asarray(np.random.RandomState(0).uniform(size=(3, 8, 8, 1)), jnp.float32)


def test_embeddings_have_length_one():
    model = Embedding(LeNet5(num_classes=0), dim=5)
    x, weights = quickly(lambda key: model.init_with_output(key, IMAGE, train=False))(jax.random.key(0))
    np.testing.assert_allclose(np.linalg.norm(x, axis=-1), 1, rtol=1e-5)
    assert x.shape == (3, 5) and set(weights["params"]) == {"backbone", "embedding"}
    alone = abstract(LeNet5(num_classes=0), IMAGE, train=False)["params"]
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    assert shapes(weights["params"]["backbone"]) == shapes(alone)


def test_the_gradient_of_a_zero_feature_is_finite():
    model = Embedding(LeNet5(num_classes=0), dim=5)
    weights = jax.tree.map(lambda x: jnp.zeros(x.shape), abstract(model, IMAGE, train=False))
    gradient = quickly(jax.grad(lambda w: model.apply(w, IMAGE, train=False).sum()))(weights)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))
