"""Every network of the table: listing is free, fields have defaults, and it is what it declares to be."""

import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
import typing
from functools import partial

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from models import MODELS
from models.classification.lenet import LeNet5
from models.classification.resnet_cifar import CifarResNet
from models.classification.vit import ViT
from models.detection.fpn import FPN
from models.interfaces import (
    Adaptable,
    Autoregressive,
    Codec,
    Conditional,
    Cropping,
    Generator,
    Quantiser,
    Rated,
    feature_maps,
    with_rates,
)

# Fields that make a network small, and the shapes of its inputs where they are not one image [1, 32, 32, 3].
FEATURES = CifarResNet(depth=8, num_classes=0)
SMALL = {
    "alexnet": dict(width=0.125, hidden=8),
    "googlenet": dict(width=0.125),
    "zfnet": dict(width=0.125, hidden=8),
    "overfeat": dict(width=0.0625),
    "vgg": dict(width=2, hidden=(8,)),
    "resnet": dict(depth=18),
    "resnet_cifar": dict(depth=8),
    "vit": dict(width=24, depth=2, heads=3, mlp=48, patch=8),
    "unet": dict(width=2, padding="same"),
    "centernet": dict(backbone=FEATURES, width=2),
    "show_and_tell": dict(backbone=FEATURES, width=2, vocabulary=3),
    "ddpm_unet": dict(width=8, multipliers=(1, 2), blocks=1, groups=4),
    "cyclegan_generator": dict(width=4, blocks=1),
    "cyclegan_discriminator": dict(width=4),
    "random_filters": dict(sizes=(3,), width=2),
    "dncnn": dict(depth=4, width=2),
    "embedding": dict(backbone=LeNet5(num_classes=0)),
    "resnext": dict(depth=14),
    "wide_resnet_imagenet": dict(depth=14),
    "se_resnet": dict(depth=18),
    "resnet_v2": dict(depth=14, width=4),
    "preact_cifar": dict(depth=8),
    "wide_resnet": dict(depth=10, widen=2),
    "resnext_cifar": dict(width=8, groups=2),
    "densenet": dict(layers=(1, 1, 1, 1), growth=4),
    "densenet_cifar": dict(depth=10, growth=4),
    "senet": dict(blocks=(1, 1, 1, 1), width=8, groups=4),
    "inception_v4": dict(blocks=(1, 1, 1), width=0.1),
    "inception_resnet": dict(blocks=(1, 1, 1), width=0.1),
    "botnet": dict(depth=14, width=8),
    "hybrid_resnet": dict(blocks=(1, 1), width=32),
    "mobilenet_v1": dict(width=0.25, depths=(1, 1, 1, 1, 1)),
    "mobilenet_v2": dict(width=0.25, depths=(1, 2, 1, 1, 1, 1, 1)),
    "mobilenet_v3": dict(width=0.25),
    "efficientnet": dict(width=0.25, depth=0.25),
    "squeezenet": dict(width=0.125),
    "shufflenet_v2": dict(channels=(8, 16, 24, 16), depths=(2, 1, 1)),
    "convnext": dict(widths=(4, 8, 12, 16), depths=(1, 1, 1, 1)),
    "regnet": dict(depth=4, initial=8, slope=8.0, step=2.0, group=8),
    "darknet": dict(width=2, depths=(1, 1, 1, 1, 1)),
    "xception": dict(width=0.125, middle=1),
    "mixer": dict(width=8, depth=2, tokens=4, channels=16, patch=8),
    "swin": dict(width=8, depths=(2, 1), heads=(2, 4), patch=2, window=8),
    "fpn": dict(backbone=FEATURES, levels=("stage2", "stage3"), width=4),
    "retinanet": dict(backbone=FEATURES, levels=("stage3",), sizes=(16,), depth=1, num_classes=3),
    "fcos": dict(backbone=FEATURES, levels=("stage3",), sizes=(4,), depth=1, num_classes=3),
    "ssd": dict(backbone=FEATURES, levels=("stage3",), scales=(0.5, 0.8), ratios=((2,),), steps=(), num_classes=3),
    "ssd_vgg": dict(width=4),
    "yolo_tiny": dict(width=2),
    "hourglass": dict(stacks=1, widths=(4, 6), blocks=(1, 1), stem=4),
    "cornernet": dict(backbone=FEATURES, levels=("stage3",), width=4, num_classes=3),
    "detr": dict(backbone=FEATURES, level="stage3", queries=3, width=8, heads=2, hidden=4, encoder=1, decoder=1),
    "faster_rcnn": dict(backbone=FEATURES, levels=("stage3",), sizes=((8,),), hidden=4, num_classes=3),
    "mask_rcnn": dict(backbone=FEATURES, levels=("stage3",), sizes=((8,),), hidden=4, mask_width=4, num_classes=3),
    "yolo_v1": dict(width=0.02, hidden=4, num_classes=3),
    "yolo_v2": dict(backbone=FEATURES, level="stage3", passthrough="stage2", widths=(4,), narrow=4, num_classes=3),
    "yolo_v3": dict(backbone=FEATURES, levels=("stage3",), width=4, sets=(1,), anchors=(((9, 9),),), num_classes=3),
    "made": dict(hidden=(8,)),
    "pixelcnn": dict(width=3, depth=1),
    "gated_pixelcnn": dict(width=3, depth=2),
    "pixelcnn_pp": dict(width=2, blocks=1),
    "igpt": dict(width=8, depth=1, heads=2),
    "vqvae": dict(width=4, depth=1),
    "pixelrnn": dict(width=2, depth=1),
    "mae": dict(patch=8, width=8, depth=1, heads=2, mlp=8, decoder_width=8, decoder_depth=1, decoder_heads=2),
    "glow": dict(shape=(28, 28, 1), levels=2, steps=1, hidden=4),
    "fcn": dict(width=2, hidden=4, border=1),
    "fcn_dilated": dict(backbone=FEATURES, level="stage3"),
    "deeplab_v1": dict(backbone=FEATURES, level="stage3", hidden=4),
    "deeplab_v2": dict(backbone=FEATURES, level="stage3", hidden=4),
    "deeplab_v3": dict(backbone=FEATURES, level="stage3", auxiliary_level="stage2", width=4),
    "deeplab_v3plus": dict(backbone=FEATURES, level="stage3", auxiliary_level="stage2", width=4),
    "pspnet": dict(backbone=FEATURES, level="stage3", auxiliary_level="stage2", width=4),
    "drn": dict(variant="D-22", width=2),
    "segnet": dict(width=2),
    "deconvnet": dict(width=2, hidden=4),
    "attention_unet": dict(width=2),
    "unet_plus_plus": dict(width=2),
    "residual_unet": dict(width=2),
    "transunet": dict(
        backbone=FEATURES,
        skips=("stage2", "stage1"),
        width=8,
        depth=1,
        heads=2,
        mlp=8,
        grid=2,
        bridge=4,
        decoder=(4, 4),
    ),
    "semantic_fpn": dict(
        backbone=FPN(FEATURES, ("stage1", "stage2", "stage3"), 4),
        levels=("p0", "p1", "p2"),
        width=4,
        groups=2,
        num_classes=3,
    ),
    "segformer": dict(widths=(4, 4, 10, 8), depths=(1, 1, 1, 1), decoder=4),
    "lora": dict(backbone=ViT(width=24, depth=1, heads=3, mlp=48, patch=8, num_classes=0)),
    "dit": dict(width=8, depth=1, heads=2),
    "uvit": dict(width=8, depth=3, heads=2),
    "ncsnpp": dict(width=8, multipliers=(1, 2), blocks=1),
    "resnet_gan_generator": dict(width=8),
    "resnet_gan_discriminator": dict(width=8),
    "pix2pix_generator": dict(width=2, depth=5),
    "pix2pix_discriminator": dict(width=2),
    "stylegan2_generator": dict(width=2, latent=4, mapping=1),
    "stylegan2_discriminator": dict(width=2),
}
INPUTS = {
    "alexnet": [(1, 67, 67, 3)],
    "zfnet": [(1, 67, 67, 3)],
    "overfeat": [(1, 231, 231, 3)],
    "inception_v3": [(1, 75, 75, 3)],
    "inception_v4": [(1, 75, 75, 3)],
    "inception_resnet": [(1, 75, 75, 3)],
    "vae": [(1, 28, 28, 1)],
    "ssd_vgg": [(1, 300, 300, 3)],
    "yolo_v1": [(1, 64, 64, 3)],
    "vae_conv": [(1, 28, 28, 1)],
    "gan_generator": [(1, 2)],
    "dcgan_generator": [(1, 100)],
    "ddpm_unet": [(1, 32, 32, 3), (1,)],
    "show_and_tell": [(1, 32, 32, 3), np.zeros((1, 5), np.int32)],
    "pixels": [],
    "made": [(1, 28, 28, 1)],
    "autoencoder": [(1, 28, 28, 1)],
    "glow": [(1, 28, 28, 1)],
    "mae": [(1, 32, 32, 3), (1, 16)],
    "cvae": [(1, 28, 28, 1), (1, 28, 28, 1)],
    "dit": [(1, 32, 32, 3), (1,)],
    "uvit": [(1, 32, 32, 3), (1,)],
    "ncsnpp": [(1, 32, 32, 3), (1,)],
    "resnet_gan_generator": [(1, 128)],
    "stylegan2_generator": [(1, 4)],
}


def entry(name):
    """(module, class, fixed fields) of a line of the table."""
    target, fixed = MODELS[name] if isinstance(MODELS[name], tuple) else (MODELS[name], {})
    module, cls = target.split(":")
    module = importlib.import_module(module)
    return module, getattr(module, cls), fixed


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


@pytest.fixture
def network(name):
    _, cls, fixed = entry(name)
    return cls(**fixed, **SMALL.get(name, {}))


@pytest.fixture
def inputs(name):
    return [jnp.zeros(x) if isinstance(x, tuple) else x for x in INPUTS.get(name, [(1, 32, 32, 3)])]


def test_listing_imports_neither_jax_nor_flax():
    code = "import sys, models; print(sorted({'jax', 'flax', 'numpy'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_entries_have_defaults_except_for_the_networks_inside(name):
    _, cls, fixed = entry(name)
    parameters = inspect.signature(cls).parameters.values()
    required = {x.name for x in parameters if x.default is x.empty} - fixed.keys()
    assert all(typing.get_type_hints(cls)[field] is nn.Module for field in required)
    assert {field.name for field in dataclasses.fields(cls)} >= {"dtype", "param_dtype"}


def test_the_first_line_of_a_network_s_file_names_its_paper(name):
    module, _, _ = entry(name)
    assert re.search(r"\([A-Z]\w+.* (19|20)\d\d\)\.$", module.__doc__.split("\n")[0])


def test_conditions_are_keywords_of_the_call(network):
    assert isinstance(network, Conditional) and network.conditions == ()
    if "conditional" in {field.name for field in dataclasses.fields(network)}:
        network = network.clone(conditional=True)
        assert network.conditions == ("label",)
    assert set(network.conditions) <= inspect.signature(type(network).__call__).parameters.keys()


def test_declared_rates_and_no_other_fields_make_a_network_random(network, inputs):
    """With the declared rates 0 and all other float fields positive, training needs no key; with the rates it does."""
    rates = network.rates if isinstance(network, Rated) else ()
    floats = {field.name for field in dataclasses.fields(network) if isinstance(field.default, float)}
    assert floats >= set(rates)
    network = network.clone(**dict.fromkeys(floats, 0.5) | dict.fromkeys(rates, 0.0))
    like = jax.eval_shape(partial(network.init, train=False), jax.random.key(0), *inputs)

    def train(network):
        return jax.eval_shape(partial(network.apply, train=True, mutable=True), like, *inputs)

    train(network)
    for rate in rates:
        with pytest.raises(flax.errors.InvalidRngError, match="dropout"):
            train(with_rates(network, dict.fromkeys(rates, 0.0) | {rate: 0.5}))


def test_generators_have_a_width_of_codes(name, network):
    of_codes = (
        "gan_generator",
        "dcgan_generator",
        "vae",
        "vae_conv",
        "autoencoder",
        "glow",
        "resnet_gan_generator",
        "stylegan2_generator",
    )
    assert isinstance(network, Generator) == (name in of_codes)
    if isinstance(network, Generator) and not isinstance(network, Codec):
        codes = jnp.zeros((3, network.latent))
        images, _ = jax.eval_shape(partial(network.init_with_output, train=False), jax.random.key(0), codes)
        assert images.shape == (3, *network.shape)


def test_codecs_decode_what_they_encode(name, network, inputs):
    assert isinstance(network, Codec) == name.startswith(("vae", "autoencoder", "glow"))
    if isinstance(network, Codec):
        like = jax.eval_shape(partial(network.init, train=False), jax.random.key(0), *inputs)
        codes = jax.tree.leaves(jax.eval_shape(partial(network.apply, method="encode"), like, *inputs))
        assert {code.shape for code in codes} == {(1, network.latent)}
        assert len(codes) == (2 if name.startswith("vae") else 1)
        assert jax.eval_shape(partial(network.apply, method="decode"), like, codes[0]).shape == inputs[0].shape


def test_networks_that_read_an_image_alone_give_their_maps_without_a_head(name, network, inputs):
    """So that each of them can be the backbone of another network; an affine network has no map, but its last features.

    A codec is exempt, whose features are its codes, and an autoregressive network.
    """
    if [x.ndim for x in inputs] != [4] or isinstance(network, Codec | Quantiser | Autoregressive):
        return
    fields = {field.name for field in dataclasses.fields(network)}
    without = {"headless": True} if "headless" in fields else {"num_classes": 0} if "num_classes" in fields else {}
    headless, size = network.clone(**without), inputs[0].shape[1:]
    maps = feature_maps(headless, size)
    assert all(x.channels > 0 for x in maps.values()) and bool(maps) == (name not in ("mlp", "gan_discriminator"))
    make = lambda network: partial(network.init_with_output, train=False)
    outputs, own = jax.eval_shape(make(headless), jax.random.key(0), jnp.zeros((2, *size)))
    _, full = jax.eval_shape(make(network), jax.random.key(0), jnp.zeros((2, *size)))
    assert all(x.shape[0] == 2 for x in outputs.values()) and outputs.keys() - maps.keys() <= {"pre_logits"}
    shapes, of_full = ({path: x.shape for path, x in flatten_dict(tree).items()} for tree in (own, full))
    assert shapes.items() <= of_full.items() and (len(shapes) < len(of_full)) == bool(without)


def test_cropping_and_adaptable_networks_are_those(name, network):
    assert isinstance(network, Cropping) == (name == "unet")
    assert isinstance(network, Adaptable) == (name in ("vit", "uvit"))
    if isinstance(network, Cropping):
        assert network.sides(32) == (32, 32)
        into, out = network.clone(padding="valid").sides(388)
        assert (into, out) == (572, 388)
