"""Feature maps of headless networks, and networks inside networks."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.inception_v3 import InceptionV3
from models.classification.lenet import LeNet5
from models.classification.mlp import MLP
from models.classification.resnet import ResNet
from models.classification.resnet_cifar import CifarResNet
from models.classification.vit import ViT
from models.errors import ModelError
from models.generative.dcgan import Discriminator
from models.interfaces import Map, feature_maps
from models.segmentation.unet import UNet
from tests.goldens.make_classification import seeded_images
from tests.models.parity import abstract, filled, quickly

VIT = partial(ViT, width=24, depth=2, heads=3, mlp=48, patch=8)


@pytest.mark.parametrize(
    ("make", "shape", "head"),
    [
        (partial(MLP, hidden=(8,)), (8, 8, 1), "output"),
        (LeNet5, (28, 28, 1), "output"),
        (partial(CifarResNet, depth=8), (16, 16, 3), "linear"),
        (partial(ResNet, depth=18), (32, 32, 3), "fc"),
        (InceptionV3, (75, 75, 3), "fc"),
        (VIT, (16, 24, 3), "head"),
        (partial(VIT, pool="gap", representation=7), (16, 24, 3), "head"),
    ],
)
def test_a_headless_classifier_has_the_weights_of_the_full_one_and_what_its_head_reads(make, shape, head):
    full, headless = make(num_classes=5), make(num_classes=0)
    images = seeded_images(2, *shape)
    variables = jax.tree.map(abs, filled(abstract(full, images, train=False)))
    params = dict(variables["params"])
    weights = params.pop(head)
    trunk = {**variables, "params": params}
    like = abstract(headless, images, train=False)
    assert jax.tree.map(jnp.shape, trunk) == jax.tree.map(jnp.shape, like)

    outputs = quickly(partial(headless.apply, train=False))(trunk, images)
    logits = quickly(partial(full.apply, train=False))(variables, images)
    again = outputs["pre_logits"] @ weights["kernel"] + weights["bias"]
    np.testing.assert_allclose(again, logits, rtol=1e-4, atol=1e-4 * np.abs(logits).max())
    assert all(x.ndim == 4 for name, x in outputs.items() if name != "pre_logits")


def test_maps_of_resnet():
    bottleneck = feature_maps(ResNet(num_classes=0), (224, 224, 3))
    assert bottleneck == {
        "stem": Map(2, 64),
        "stage1": Map(4, 256),
        "stage2": Map(8, 512),
        "stage3": Map(16, 1024),
        "stage4": Map(32, 2048),
    }
    cifar = feature_maps(CifarResNet(depth=8, num_classes=0), (32, 32, 3))
    assert cifar == {"stem": Map(1, 16), "stage1": Map(1, 16), "stage2": Map(2, 32), "stage3": Map(4, 64)}


def test_maps_of_inception_with_borders_cut_off():
    assert feature_maps(InceptionV3(num_classes=0), (299, 299, 3)) == {
        "stem": Map(2, 64),
        "stage1": Map(4, 192),
        "stage2": Map(8, 288),
        "stage3": Map(16, 768),
        "stage4": Map(32, 2048),
    }


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_maps_of_unet_are_those_of_its_levels(padding):
    maps = feature_maps(UNet(width=2, padding=padding, num_classes=0), (572, 572, 1))
    down = {f"stage{i + 1}": Map(2**i, 2 << i) for i in range(4)}
    up = {f"up{4 - i}": Map(2**i, 2 << i) for i in reversed(range(4))}
    assert maps == {**down, "bottom": Map(16, 32), **up}


@pytest.mark.parametrize("pool", ["token", "gap"])
def test_maps_of_vit_are_grids_without_the_class_token(pool):
    model = VIT(pool=pool, num_classes=0)
    assert feature_maps(model, (16, 24, 3)) == dict.fromkeys(("stem", "stage1", "stage2"), Map(8, 24))
    images = seeded_images(1, 16, 24, 3)
    variables = filled(abstract(model, images, train=False))
    outputs = quickly(partial(model.apply, train=False))(variables, images)
    assert outputs["stem"].shape == outputs["stage2"].shape == (1, 2, 3, 24)
    patch = images[0, 8:, 16:].reshape(-1)  # the last one
    params = variables["params"]
    kernel = params["embedding"]["kernel"].reshape(-1, 24)
    expected = patch @ kernel + params["embedding"]["bias"] + params["positions"][0, -1]
    np.testing.assert_allclose(outputs["stem"][0, 1, 2], expected, rtol=1e-3, atol=1e-3)


def test_a_map_of_fixed_size_has_no_stride():
    assert feature_maps(LeNet5(num_classes=0), (28, 28, 1)) == {
        "stem": Map(0, 6),
        "stage1": Map(0, 16),
        "stage2": Map(0, 120),
    }


def test_a_network_that_has_no_maps_is_refused():
    for network in (ResNet(depth=18), Discriminator()):
        with pytest.raises(ModelError, match="returns no feature maps"):
            feature_maps(network, (32, 32, 3))


class Dense(nn.Module):
    """A dense network around any backbone."""

    backbone: nn.Module
    num_classes: int = 3

    @nn.compact
    def __call__(self, x, train: bool):
        return nn.Conv(self.num_classes, (1, 1), name="head")(self.backbone(x, train)["stage3"])


def test_a_network_holds_another_in_a_field_with_parameters_under_its_name():
    backbone = CifarResNet(depth=8, num_classes=0)
    images = seeded_images(2, 16, 16, 3)
    own, outer = (abstract(model, images, train=False) for model in (backbone, Dense(backbone)))
    assert outer["params"].keys() == {"backbone", "head"}
    for collection in ("params", "batch_stats"):
        assert jax.tree.map(jnp.shape, outer[collection]["backbone"]) == jax.tree.map(jnp.shape, own[collection])

    variables = filled(outer)
    logits, moved = Dense(backbone).apply(variables, images, train=True, mutable=["batch_stats"])
    alone = {collection: tree["backbone"] for collection, tree in variables.items()}
    maps, moved_alone = backbone.apply(alone, images, train=True, mutable=["batch_stats"])
    head = variables["params"]["head"]
    np.testing.assert_allclose(logits, maps["stage3"] @ head["kernel"][0, 0] + head["bias"], rtol=1e-4, atol=1e-3)
    jax.tree.map(np.testing.assert_array_equal, moved["batch_stats"]["backbone"], moved_alone["batch_stats"])
