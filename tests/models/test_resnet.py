"""ResNet against torchvision's: counts, outputs, gradients, and one step of the running statistics."""

import pathlib
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.resnet import PORTS, ResNet
from models.counting import count_macs, parameter_table
from models.errors import ModelError
from models.layers.blur_pool import blur_pool
from models.layers.non_local import NonLocal
from models.port import from_torch, to_torch
from tests.goldens.make_classification import seeded_images, seeded_weights

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
QUICKLY = {"xla_backend_optimization_level": 0}  # compiling is what these tests cost


@pytest.mark.parametrize(
    ("depth", "version", "parameters", "macs"),
    [
        (18, "v1.5", 11_689_512, 1_814_073_344),
        (34, "v1.5", 21_797_672, 3_663_761_408),
        (50, "v1.5", 25_557_032, 4_089_184_256),
        (101, "v1.5", 44_549_160, 7_801_405_440),
        (152, "v1.5", 60_192_808, 11_513_626_624),
        # timm's legacy_seresnet50 is this network and 2,514,944 multiply-adds of squeeze and excitation: 3,860,488,192.
        (50, "v1", 25_557_032, 3_857_973_248),
    ],
)
def test_counts(depth, version, parameters, macs):
    model = ResNet(depth=depth, version=version)
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), x)
    assert sum(count for _, _, count in parameter_table(model, x.shape)) == parameters
    assert count_macs(partial(model.apply, train=False), variables, x) == macs


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(("depth", "values_per_channel"), [(18, 4), (50, 4)])
def test_torchvision_parity(depth, values_per_channel, float64):
    golden = np.load(GOLDENS / f"resnet{depth}.npz")
    shapes = {k: tuple(map(int, s.split())) for k, s in zip(golden["names"], golden["shapes"], strict=True)}
    weights = seeded_weights(shapes)
    images = seeded_images(4, 32, 32, 3)
    model = ResNet(depth=depth, num_classes=10, param_dtype=jnp.float64)
    like = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)
    variables = from_torch(weights, like, PORTS["torchvision"])

    def loss(params):
        logits = model.apply({**variables, "params": params}, images, train=False)
        return -jax.nn.log_softmax(logits)[jnp.arange(4), jnp.arange(4)].mean(), logits

    quickly = partial(jax.jit, compiler_options=QUICKLY)
    gradients, logits = quickly(jax.grad(loss, has_aux=True))(variables["params"])
    np.testing.assert_allclose(logits, golden["logits"], rtol=1e-8)

    gradients = to_torch({"params": gradients}, PORTS["torchvision"])
    norms = [np.linalg.norm(gradients[name]) for name in golden["gradient_names"]]
    np.testing.assert_allclose(norms, golden["gradient_norms"], rtol=1e-7)
    for name in (k.removeprefix("gradient/") for k in golden.files if k.startswith("gradient/")):
        np.testing.assert_allclose(gradients[name].reshape(-1)[:256], golden[f"gradient/{name}"], rtol=1e-6, atol=1e-12)

    train = quickly(partial(model.apply, train=True, mutable=["batch_stats"]))
    logits, moved = train(variables, images)
    np.testing.assert_allclose(logits, golden["train_logits"], rtol=1e-6)
    assert {leaf.dtype for leaf in jax.tree.leaves(moved)} == {jnp.dtype("float64")}
    moved = to_torch(moved, PORTS["torchvision"])
    np.testing.assert_allclose(moved["bn1.running_mean"], golden["moved/bn1.running_mean"], rtol=1e-8)
    for name, n in {
        "bn1.running_var": 4 * 16 * 16,
        golden.files[-1].removeprefix("moved/"): values_per_channel,
    }.items():
        before = 0.9 * weights[name].astype(np.float64)
        ours = moved[name] - before
        # torch keeps the unbiased variance, flax the biased one.
        np.testing.assert_allclose(golden[f"moved/{name}"] - before, ours * n / (n - 1), rtol=1e-6)


def test_v1_and_v15_have_the_same_parameters():
    v1, v15 = (parameter_table(ResNet(depth=50, version=version), (1, 64, 64, 3)) for version in ("v1", "v1.5"))
    assert v1 == v15


def test_initial_scales():
    """He's fan-out scale for the convolutions; with zero_init_residual, blocks that start as the identity."""
    model = ResNet(depth=18, zero_init_residual=True, num_classes=10)

    @jax.jit
    def init(key):  # what is not returned is not compiled either
        params = model.init(key, jnp.zeros((1, 32, 32, 3)), train=False)["params"]
        return params["layer2_0"]["conv1"]["kernel"], params["layer2_1"]["bn1"], params["layer2_1"]["bn2"]

    kernel, bn1, bn2 = init(jax.random.key(0))  # the kernel: 3×3, 64 -> 128
    np.testing.assert_allclose(kernel.std(), (2 / (9 * 128)) ** 0.5, rtol=0.01)
    assert jnp.abs(kernel).max() > 3.5 * kernel.std()  # not truncated
    assert bn1["scale"].all() and not bn2["scale"].any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"depth": 51}, "depth=51 is not one of 18, 34"),
        ({"version": "v15"}, r"did you mean 'v1\.5'\?"),
        ({"attention": "see"}, "did you mean 'se'"),
        ({"depth": 18, "groups": 32}, "groups and base_width"),
        ({"groups": 0}, "at least 1"),
        ({"depth": 14, "attention": "non_local"}, "non_local is after every second block"),
        ({"blur": True, "version": "v1"}, "blur needs version"),
    ],
)
def test_an_unknown_variant_is_refused_with_the_choices(fields, message):
    with pytest.raises(ModelError, match=message):
        jax.eval_shape(partial(ResNet(**fields).init, train=False), jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


@pytest.mark.parametrize("fields", [{}, {"attention": "se"}, {"attention": "cbam"}, {"attention": "sk_split"}])
def test_with_a_last_scale_of_zero_a_stage_is_its_shortcut(fields):
    """No block but the first of the stage does anything to its input, which is positive behind a ReLU."""
    x = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
    maps = {}
    for depth in (14, 26):
        model = ResNet(depth, num_classes=0, zero_init_residual=True, **fields)
        like = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), x)
        random = lambda path, leaf: np.random.default_rng(len(str(path))).uniform(0.1, 0.3, leaf.shape)
        variables = jax.tree_util.tree_map_with_path(random, like)
        params = {
            name: {**block, "bn3": jax.tree.map(np.zeros_like, block["bn3"])} if "layer" in name else block
            for name, block in variables["params"].items()
        }
        apply = jax.jit(partial(model.apply, train=False), compiler_options=QUICKLY)
        maps[depth] = apply({**variables, "params": params}, x)
    np.testing.assert_allclose(maps[14]["stage4"], maps[26]["stage4"], rtol=1e-5)
    assert (maps[14]["stage4"] > 0).all()


def test_a_non_local_block_starts_as_the_identity():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 8))
    block = NonLocal(partial(nn.BatchNorm, use_running_average=False))
    y, _ = block.init_with_output(jax.random.key(1), x)
    np.testing.assert_array_equal(y, x)


def test_blur_pool_keeps_constants_and_takes_the_highest_frequency_away():
    rows, columns = np.indices((6, 7))
    ones, checks = np.ones((1, 6, 7, 2)), np.broadcast_to(((-1.0) ** (rows + columns))[None, ..., None], (1, 6, 7, 2))
    np.testing.assert_array_equal(blur_pool(ones), np.ones((1, 3, 4, 2)))
    np.testing.assert_allclose(blur_pool(checks), 0, atol=1e-7)
    with pytest.raises(ModelError, match="1×8 cannot be blurred"):
        blur_pool(np.ones((1, 1, 8, 2)))


def test_a_grouped_convolution_is_a_plain_one_whose_kernel_is_block_diagonal():
    x = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    grouped, plain = ResNet(29, stem="cifar", width=8, groups=2, base_width=32), ResNet(29, stem="cifar", width=8)
    like = jax.eval_shape(partial(grouped.init, train=False), jax.random.key(0), x)
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: random.uniform(0.1, 0.5, leaf.shape), like)

    def spread(path, kernel):
        if path[-2:] != (jax.tree_util.DictKey("conv2"), jax.tree_util.DictKey("kernel")):
            return kernel
        first, second = np.split(kernel, 2, -1)
        return np.block([[first, np.zeros_like(first)], [np.zeros_like(second), second]])

    logits = [
        jax.jit(partial(network.apply, train=False), compiler_options=QUICKLY)(v, x)
        for network, v in ((grouped, variables), (plain, jax.tree_util.tree_map_with_path(spread, variables)))
    ]
    np.testing.assert_allclose(*logits, rtol=1e-4)
