"""iGPT: published counts, and transformers' logits and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.generative.igpt import IGPT, PORTS
from tests.models.parity import abstract, assert_parity, filled, golden, quickly


@pytest.mark.parametrize(("variant", "parameters"), [("S", 76_420_096), ("M", 454_965_248), ("L", 1_362_127_872)])
def test_parameters(variant, parameters):
    """The reference counts the network without its head."""
    params = abstract(IGPT(variant), jnp.zeros((1, 32, 32, 1)), train=False)["params"]
    head = params.pop("head")
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == parameters
    assert head["kernel"].size == params["norm"]["scale"].size * 512


def test_it_computes_what_transformers_computes():
    with jax.enable_x64(True):
        model = IGPT(width=12, depth=2, heads=3, outputs=5, param_dtype=jnp.float64)
        images = jnp.asarray(golden("igpt")["values"].reshape(2, 4, 4, 1) / 4)
        forward = lambda variables: (model.apply(variables, images, train=False).reshape(2, 16, 5), {})
        assert_parity("igpt", forward, abstract(model, images, train=False), PORTS["transformers"], 1e-6)


def test_steps_answer_as_the_whole_does_and_read_only_values_before():
    model = IGPT(width=12, depth=2, heads=3, outputs=3)
    x = jnp.asarray(np.random.RandomState(0).randint(0, 3, (2, 2, 3, 2)) / 2, jnp.float32)
    variables = jax.tree.map(lambda leaf: 0.3 * leaf, filled(abstract(model, x, train=False)))
    whole = model.apply(variables, x, train=False).reshape(2, 12, 3)
    like = jax.eval_shape(lambda: model.init(jax.random.key(0), x, 0, method="step"))
    cache = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like["cache"])
    step = quickly(
        lambda cache, x, position: model.apply(
            {**variables, "cache": cache}, x, position, method="step", mutable=["cache"]
        )
    )
    for position in range(12):
        known = jnp.where(jnp.arange(12) < position, x.reshape(2, 12), 0.0).reshape(x.shape)
        output, moved = step(cache, known, position)
        cache = moved["cache"]
        np.testing.assert_allclose(output, whole[:, position], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            model.apply(variables, known, train=False).reshape(2, 12, 3)[:, position], output, rtol=1e-4, atol=1e-5
        )
