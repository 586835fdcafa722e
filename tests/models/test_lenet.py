"""LeNet-5: the counts of its two variants, and the network of 1998 against equations written again in torch."""

import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.lenet import DIGIT_CODES, PORTS, LeNet5, to_retina
from models.counting import parameter_table
from models.errors import ModelError
from models.layers.activations import scaled_tanh
from models.port import from_torch, to_torch
from tests.goldens.make_classification import LENET_SHAPES, seeded_images, seeded_weights

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"


def layer_counts(**fields):
    counts = {}
    for path, _, count in parameter_table(LeNet5(**fields), (1, 28, 28, 1)):
        layer = path.split("/")[0]
        counts[layer] = counts.get(layer, 0) + count
    return counts


def test_original_has_60000_parameters():
    counts = layer_counts(variant="original")
    assert counts == {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert sum(counts.values()) == 60_000


def test_modern_has_61706_parameters():
    counts = layer_counts()
    assert counts == {"c1": 156, "c3": 2_416, "c5": 48_120, "f6": 10_164, "output": 850}
    assert sum(counts.values()) == 61_706


def test_original_matches_the_equations():
    golden = np.load(GOLDENS / "lenet5_original.npz")
    images = seeded_images(4, 28, 28, 1)

    model, port = LeNet5(variant="original"), PORTS["torch_original"]
    like = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)
    variables = from_torch(seeded_weights(LENET_SHAPES), like, port)

    def loss(variables):
        logits = model.apply(variables, images, train=True)
        return -jax.nn.log_softmax(logits)[jnp.arange(4), jnp.arange(4)].mean(), logits

    gradients, logits = jax.jit(jax.grad(loss, has_aux=True))(variables)
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-5)
    named = {k.removeprefix("gradient/"): golden[k] for k in golden.files if k.startswith("gradient/")}
    assert "c3.weight" in named and "s2.coefficient" in named
    gradients = to_torch(gradients, port)
    for name, expected in named.items():
        np.testing.assert_allclose(gradients[name], expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_rbf_codes_are_fixed_and_apart():
    assert DIGIT_CODES.shape == (10, 84) and set(np.unique(DIGIT_CODES)) == {-1.0, 1.0}
    distances = np.square(DIGIT_CODES[:, None] - DIGIT_CODES).sum(-1)
    assert distances[~np.eye(10, dtype=bool)].min() >= 4 * 4  # at least four of the 84 dots
    with pytest.raises(ModelError, match="ten digits, not for 26 classes"):
        parameter_table(LeNet5(variant="original", num_classes=26), (1, 32, 32, 1))


def test_scaled_tanh_passes_through_plus_and_minus_one():
    np.testing.assert_allclose(scaled_tanh(jnp.array([-1.0, 1.0])), [-1, 1], atol=1e-4)


def test_retina():
    white = jnp.full((1, 28, 28, 1), -0.1)
    np.testing.assert_array_equal(to_retina(white), jnp.full((1, 32, 32, 1), -0.1))
    image = jnp.asarray(seeded_images(2, 32, 32, 3))
    np.testing.assert_array_equal(to_retina(image), image)
    assert to_retina(jnp.zeros((2, 8, 8, 1))).shape == (2, 32, 32, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"variant": "original"},
        {"variant": "original", "output": "linear", "num_classes": 3},
        {"variant": "modern", "activation": "tanh", "pooling": "avg"},
        {"variant": "modern", "c3": "table", "pooling": "trainable", "output": "rbf"},
    ],
)
@pytest.mark.parametrize("size", [28, 32])
def test_fields_combine(fields, size):
    model = LeNet5(**fields)
    logits, variables = jax.eval_shape(
        partial(model.init_with_output, train=True), jax.random.key(0), jnp.zeros((2, size, size, 1))
    )
    assert logits.shape == (2, model.num_classes) and logits.dtype == jnp.float32
    assert set(variables) == {"params"}


@pytest.mark.parametrize("field", ["variant", "c3", "activation", "pooling", "output"])
def test_a_misspelt_field_is_refused(field):
    with pytest.raises(ModelError, match=f"{field}='maxx' is not one of"):
        parameter_table(LeNet5(**{field: "maxx"}), (1, 32, 32, 1))


@pytest.mark.parametrize("variant", ["original", "modern"])
@pytest.mark.parametrize("types", [("bfloat16", "float32", "float32"), ("float64", "float64", "float64")])
def test_types(variant, types):
    dtype, param_dtype, out = map(jnp.dtype, types)
    with jax.enable_x64(dtype == "float64"):
        model = LeNet5(variant=variant, dtype=dtype, param_dtype=param_dtype)
        logits, variables = jax.eval_shape(
            partial(model.init_with_output, train=False), jax.random.key(0), jnp.zeros((2, 28, 28, 1))
        )
    assert logits.dtype == out
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {param_dtype}
