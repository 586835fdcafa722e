"""The CIFAR residual networks: published counts, and published weights giving their published answers."""

import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.resnet_cifar import PORTS, Block, CifarResNet
from models.counting import count_macs, parameter_table
from models.errors import ModelError
from models.port import from_torch
from tests.goldens.make_classification import IMAGENET_MEAN, IMAGENET_STD

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
QUICKLY = {"xla_backend_optimization_level": 0}  # compiling is what these tests cost


def random_variables(model, x):
    """Drawn by numpy, which unlike `init` has nothing to compile; positive, as variances must be."""
    random = np.random.default_rng(0)
    like = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), x)
    return jax.tree.map(lambda leaf: random.uniform(0.1, 1, leaf.shape).astype(np.float32), like)


@pytest.mark.parametrize(
    ("depth", "shortcut", "parameters"),
    [
        (20, "A", 269_722),
        (32, "A", 464_154),
        (44, "A", 658_586),
        (56, "A", 853_018),
        (110, "A", 1_727_962),
        (1202, "A", 19_421_274),
        (20, "B", 272_474),
        (32, "B", 466_906),
        (44, "B", 661_338),
        (56, "B", 855_770),
        (110, "B", 1_730_714),
    ],
)
def test_parameters(depth, shortcut, parameters):
    table = parameter_table(CifarResNet(depth=depth, shortcut=shortcut), (1, 32, 32, 3))
    assert sum(count for _, _, count in table) == parameters


def test_cifar100_adds_its_head_alone():
    counts = [
        sum(count for _, _, count in parameter_table(CifarResNet(num_classes=k), (1, 32, 32, 3))) for k in (10, 100)
    ]
    assert counts[1] - counts[0] == 5_850


@pytest.mark.parametrize(("depth", "macs"), [(20, 40_551_040), (56, 125_485_696), (110, 252_887_680)])
def test_macs(depth, macs):
    model = CifarResNet(depth=depth)
    x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), x)
    assert count_macs(partial(model.apply, train=False), variables, x) == macs


def test_published_weights_give_the_same_logits():
    weights = dict(np.load(GOLDENS / "resnet20_cifar_weights.npz"))
    golden = np.load(GOLDENS / "resnet20_cifar.npz")
    images = (golden["images"] / np.float32(255) - IMAGENET_MEAN) / IMAGENET_STD
    model = CifarResNet(depth=20)
    like = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)
    variables = from_torch(weights, like, PORTS["akamaster"])
    logits = jax.jit(partial(model.apply, train=False))(variables, images)
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-4, atol=1e-4)
    assert (logits.argmax(-1) == golden["labels"]).mean() > 0.85  # 91.73 % over the whole test set


def test_option_a_subsamples_and_pads_with_zeros():
    """With a branch that is zero, a block is its shortcut."""
    zero = lambda *args, **kwargs: lambda x: x

    def conv(channels, window, strides=1, **kwargs):
        return lambda x: jnp.zeros((*x[:, ::strides, ::strides].shape[:3], channels))

    x = jax.random.uniform(jax.random.key(0), (2, 8, 8, 4))
    y = Block(8, 2, "A", conv, zero).apply({}, x)
    np.testing.assert_array_equal(y[..., 2:6], x[:, ::2, ::2])
    assert not y[..., :2].any() and not y[..., 6:].any()


def test_dropout_stands_before_the_classifier_alone():
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    model = CifarResNet(depth=8, dropout_rate=1.0)
    variables = random_variables(model, x)
    apply = partial(model.apply, train=True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(2)})
    logits, _ = jax.jit(apply, compiler_options=QUICKLY)(variables, x)
    np.testing.assert_array_equal(logits, np.stack(2 * [variables["params"]["linear"]["bias"]]))


@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize("types", [("bfloat16", "float32", "float32"), ("float64", "float64", "float64")])
def test_types(types, shortcut):
    """bf16 computes in bf16 with float32 parameters, statistics and logits; float64 is float64 throughout."""
    dtype, param_dtype, out = map(jnp.dtype, types)
    with jax.enable_x64(dtype == "float64"):
        model = CifarResNet(depth=8, shortcut=shortcut, dtype=dtype, param_dtype=param_dtype)
        x = jnp.zeros((2, 8, 8, 3))
        variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), x)
        logits, moved = jax.eval_shape(partial(model.apply, train=True, mutable=["batch_stats"]), variables, x)
    assert logits.dtype == out
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {param_dtype}
    assert jax.tree.map(lambda a: (a.shape, a.dtype), moved["batch_stats"]) == jax.tree.map(
        lambda a: (a.shape, a.dtype), variables["batch_stats"]
    )


def test_synchronised_statistics_are_those_of_the_global_batch():
    x = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))
    variables = random_variables(CifarResNet(depth=8), x)

    def train(axis_name, images):
        model = CifarResNet(depth=8, axis_name=axis_name)
        return model.apply(variables, images, train=True, mutable=["batch_stats"])[0]

    whole = jax.jit(partial(train, None), compiler_options=QUICKLY)(x)
    halves = jax.vmap(partial(train, "data"), axis_name="data")
    halves = jax.jit(halves, compiler_options=QUICKLY)(x.reshape(2, 2, 8, 8, 3))
    np.testing.assert_allclose(halves.reshape(4, 10), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"), [({"depth": 21}, "depth=21 is not 6n"), ({"shortcut": "C"}, "shortcut='C'")]
)
def test_an_unknown_variant_is_refused(fields, message):
    with pytest.raises(ModelError, match=message):
        parameter_table(CifarResNet(**fields), (1, 32, 32, 3))
