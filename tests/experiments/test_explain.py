"""Explanations by what they mean, and `fovea explain`."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from experiments.commands.explain import METHODS
from experiments.errors import PageError
from experiments.explain import drawing, gradients, layers
from experiments.explain.occlusion import occlusion
from experiments.explain.relu import DECONVNET, GUIDED, with_relu
from models.classification.resnet_cifar import CifarResNet
from models.classification.squeezenet import SqueezeNet
from models.classification.vgg import VGG
from models.classification.vit import ViT
from tests.models.parity import abstract, filled, quickly

SIDE, DIGIT = 32, 10


class Small(nn.Module):
    """Two convolutions, the mean over space, a classifier."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.relu(nn.Conv(8, (3, 3), name="conv1")(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Conv(16, (5, 5), name="conv2")(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Conv(16, (3, 3), name="conv3")(x))
        return nn.Dense(2, name="head")(x.mean((1, 2)))


def scenes(random, count):
    """Images [count, 32, 32, 1] of a digit 0 or 1 on a noisy ground, labels, and the corner (y, x) of the digit."""
    data = load_digits()
    chosen = np.flatnonzero(data.target < 2)
    ids = random.choice(chosen, count)
    corners = random.integers(0, SIDE - DIGIT, (count, 2))
    images = random.uniform(-0.2, 0.2, (count, SIDE, SIDE, 1)).astype(np.float32)
    for image, i, (y, x) in zip(images, ids, corners, strict=True):
        image[y + 1 : y + 9, x + 1 : x + 9, 0] += data.images[i] / 16
    return images, data.target[ids], corners


@pytest.fixture(scope="module")
def recogniser(optimised):
    """(apply, variables) of a network that tells 0 from 1 anywhere in a scene."""
    network, random, optimizer = Small(), np.random.default_rng(0), optax.adam(3e-3)
    variables = network.init(jax.random.key(0), np.zeros((1, SIDE, SIDE, 1), np.float32))
    state = optimizer.init(variables)

    @jax.jit
    def step(variables, state, images, labels):
        loss = lambda v: optax.softmax_cross_entropy_with_integer_labels(network.apply(v, images), labels).mean()
        updates, state = optimizer.update(jax.grad(loss)(variables), state)
        return optax.apply_updates(variables, updates), state

    for _ in range(150):
        images, labels, _ = scenes(random, 64)
        variables, state = step(variables, state, images, labels)
    images, labels, _ = scenes(random, 256)
    assert (network.apply(variables, images).argmax(-1) == labels).mean() > 0.95
    return network.apply, variables


def concentration(heat, corner):
    """The part of a map's mass that lies on the digit over the part of its area."""
    heat = np.asarray(Image.fromarray(np.maximum(heat, 0).astype(np.float32)).resize((SIDE, SIDE)))
    y, x = corner
    return heat[y : y + DIGIT, x : x + DIGIT].sum() / heat.sum() * SIDE**2 / DIGIT**2


@pytest.mark.parametrize("method", ["gradcam", "occlusion", "saliency", "smoothgrad"])
def test_it_falls_on_the_object_of_a_scene(method, recogniser):
    images, labels, corners = scenes(np.random.default_rng(1), 8)
    methods = {
        "gradcam": lambda *own: layers.grad_cam(*own, "conv3"),
        "occlusion": lambda *own: occlusion(*own, 8, 4),
        "saliency": gradients.saliency,
        "smoothgrad": functools.partial(gradients.smoothgrad, key=jax.random.key(0), samples=16),
    }
    found = [
        concentration(methods[method](*recogniser, image, int(label)), corner)
        for image, label, corner in zip(images, labels, corners, strict=True)
    ]
    assert np.mean(found) >= 2, found


def test_integrated_gradients_sum_to_the_difference_of_the_logits(recogniser):
    apply, variables = recogniser
    images, labels, _ = scenes(np.random.default_rng(2), 4)
    for image, label in zip(images, labels, strict=True):
        black = np.zeros_like(image)
        logits = apply(variables, np.stack([image, black]))[:, label]
        found = gradients.integrated_gradients(apply, variables, image, label, black, steps=200)
        np.testing.assert_allclose(found.sum(), logits[0] - logits[1], rtol=0.02, atol=0.02)


def linear(weights, x):
    return x.reshape(len(x), -1) @ weights


def two_layers(weights, x):
    first, second = weights
    return nn.relu(x.reshape(len(x), -1) @ first) @ second


def test_of_a_linear_network_each_is_its_transpose():
    random = np.random.default_rng(0)
    weights, image = random.standard_normal((12, 3)), random.standard_normal((2, 2, 3))
    for method in (gradients.gradient, gradients.guided, gradients.deconvnet):
        np.testing.assert_allclose(method(linear, weights, image, 1), weights[:, 1].reshape(2, 2, 3), rtol=1e-6)


def test_rules_of_relu_are_those_of_the_papers():
    random = np.random.default_rng(0)
    first, second, image = (random.standard_normal(shape) for shape in ((12, 20), (20, 3), (2, 2, 3)))
    forward, back = image.ravel() @ first, second[:, 2]
    expected = {
        gradients.gradient: back * (forward > 0),
        gradients.deconvnet: np.maximum(back, 0),
        gradients.guided: np.maximum(back, 0) * (forward > 0),
    }
    for method, hidden in expected.items():
        found = method(two_layers, (first, second), image, 2)
        np.testing.assert_allclose(found, (first @ hidden).reshape(2, 2, 3), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "side"),
    [
        (CifarResNet(8), 8),
        (SqueezeNet(width=0.25), 32),
        (VGG("A", norm="batch", width=2, hidden=(8,)), 32),
        (ViT(width=12, depth=1, heads=2, mlp=24, patch=8, remat=True), 16),
    ],
    ids=["resnet", "squeezenet", "vgg", "vit"],
)
def test_replacing_relu_by_itself_changes_nothing(network, side):
    """Over whole networks: every other operation is carried out as it was."""
    image = np.random.default_rng(0).standard_normal((1, side, side, 3)).astype(np.float32)
    variables = jax.tree.map(np.abs, filled(abstract(network, image, train=False)))
    variables["params"] = filled(variables["params"])
    apply = functools.partial(network.apply, train=False)

    @quickly
    def both(image):
        of = lambda f: jax.value_and_grad(lambda x: f(variables, x).sum())(image)
        own = with_relu(apply, lambda x, g: jnp.where(x > 0, g, 0))
        return of(apply), of(own), of(with_relu(apply, GUIDED)), of(with_relu(apply, DECONVNET))

    plain, again, *others = both(image)
    for ours, theirs in zip(again, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
    for value, changed in others:
        np.testing.assert_allclose(value, plain[0], rtol=1e-4)
        differs = np.linalg.norm(changed - plain[1]) > 0.01 * np.linalg.norm(plain[1])
        assert differs != isinstance(network, ViT), "which has no ReLU"


# Layers.


@pytest.fixture(scope="module")
def resnet():
    network = CifarResNet(8)
    variables = quickly(lambda key: network.init(key, np.zeros((1, 16, 16, 3), np.float32), train=False))(
        jax.random.key(0)
    )
    return functools.partial(network.apply, train=False), variables


def test_layers_are_named_by_their_modules_and_the_last_is_chosen(resnet):
    found = layers.layers(*resnet, (16, 16, 3))
    assert found["conv1"] == (16, 16, 16) and found["layer2_0/conv1"] == (8, 8, 32) and "linear" not in found
    assert layers.chosen(found) == "layer3_0"
    with pytest.raises(PageError, match=r"there is no layer 'layer3_1' with maps: did you mean 'layer3_0'\?"):
        layers.chosen(found, "layer3_1")


def test_a_layer_is_seen_and_shifted_where_it_is(resnet):
    apply, variables = resnet
    image = np.random.default_rng(0).standard_normal((16, 16, 3)).astype(np.float32)
    logits, maps = layers.look(apply, variables, image[None], "layer3_0")
    np.testing.assert_allclose(logits, apply(variables, image[None]), rtol=1e-6)
    head = variables["params"]["linear"]
    np.testing.assert_allclose(logits, maps.mean((1, 2)) @ head["kernel"] + head["bias"], rtol=1e-4, atol=1e-5)
    shifted, _ = layers.look(apply, variables, image[None], "layer3_0", 1.0)
    np.testing.assert_allclose(shifted - logits, head["kernel"].sum(0)[None], rtol=1e-3, atol=1e-4)

    # With a mean and a classifier behind it, Grad-CAM is CAM: the class's weights over the maps.
    expected = np.maximum((maps[0] * head["kernel"][:, 3]).sum(-1), 0) / 16
    np.testing.assert_allclose(layers.grad_cam(apply, variables, image, 3, "layer3_0"), expected, rtol=1e-4, atol=1e-5)


def test_occlusion_finds_the_pixel_that_counts():
    def one_pixel(variables, x):
        return jnp.stack([x[:, 5, 7, 0], jnp.zeros(len(x))], -1)

    image = np.zeros((12, 12, 1), np.float32)
    image[5, 7] = 4.0
    found = occlusion(one_pixel, None, image, 0, window=4, stride=2)
    drop = jax.nn.sigmoid(4.0) - 0.5
    np.testing.assert_allclose(found[5, 7], drop, rtol=1e-5)
    reach = np.zeros((12, 12), bool)
    reach[2:8, 4:10] = True
    assert (found[~reach] == 0).all() and (found[reach] > 0).all() and found.max() <= drop + 1e-6


# The command.


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    from experiments.cli import main

    workdir = tmp_path_factory.mktemp("lenet")
    steps = dict(batch_size=64, steps=2, log_every=2, evaluate_every=2, checkpoint_every=2)
    words = [f"--config.train.{key}={value}" for key, value in steps.items()]
    assert main(["train", "--config", "lenet5_digits", "--workdir", str(workdir), *words]) == 0
    return workdir


@pytest.mark.parametrize("method", METHODS)
def test_every_method_writes_a_picture(method, lenet, fovea, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8)).save(tmp_path / "x.png")
    words = [] if method == "filters" else [tmp_path / "x.png"]
    result = fovea("explain", "--workdir", lenet, "--method", method, "--out", tmp_path / "out", *words)
    assert (result.code, result.error) == (0, "")
    name = "network" if method == "filters" else "x"
    with Image.open(tmp_path / "out" / f"{name}_{method}.png") as picture:
        assert len(picture.getcolors(2**24)) > 2, "it shows something"
    assert result.out.rstrip().endswith(f"{name}_{method}.png")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--method", "saliencey", "x.png"), "--method saliencey: did you mean 'saliency'?"),
        (("--method", "saliency"), "--method saliency explains pictures: name them"),
        (("--method", "saliency", "y.png"), "there is no image y.png"),
        (("--method", "gradcam", "--layer", "c9", "x.png"), "there is no layer 'c9' with maps"),
        (("--method", "saliency", "--class", "cat", "x.png"), "there is no class 'cat'"),
        (("--method", "saliency", "text.png"), "cannot read image text.png"),
    ],
)
def test_bad_input_is_one_line(words, line, lenet, fovea, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("x.png")
    (tmp_path / "text.png").write_text("not a picture")
    result = fovea("explain", "--workdir", lenet, *words)
    assert (result.code, result.out) == (2, "")
    assert result.error.startswith(f"fovea: {line}") and result.error.count("\n") == 1


def test_signed_numbers_of_four_channels_are_a_picture_of_three():
    values = np.zeros((2, 3, 4))
    values[..., 0] = 1
    assert drawing.signed(values).shape == (2, 3, 3)
    np.testing.assert_array_equal(drawing.signed(values)[0, 0], [255, 127, 127])
