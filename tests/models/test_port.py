"""Weights from torch and to torch: layouts, names, slices, order of flattening, and what is refused."""

import dataclasses
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from models import MODELS
from models.classification import (
    alexnet,
    botnet,
    convnext,
    darknet,
    densenet,
    drn,
    efficientnet,
    googlenet,
    inception_resnet,
    inception_v3,
    inception_v4,
    lenet,
    mixer,
    mlp,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    preact_cifar,
    regnet,
    resnet,
    resnet_cifar,
    resnet_v2,
    senet,
    shufflenet_v2,
    squeezenet,
    swin,
    vgg,
    vit,
)
from models.classification.mlp import MLP
from models.detection import detr, faster_rcnn, fcos, retinanet, ssd
from models.detection.fpn import FPN
from models.errors import ModelError
from models.generative import cyclegan, dcgan, ddpm_unet, dit, igpt, mae, pix2pix
from models.port import Port, Slice, from_torch, to_torch
from models.restoration import dncnn
from models.segmentation import deeplab, fcn, segformer, unet
from tests.models.parity import abstract, filled, golden, golden_shapes
from tests.models.test_table import entry

VIT = vit.ViT(width=24, depth=2, heads=3, mlp=48, patch=8, num_classes=5)
VGG = vgg.VGG(width=2, hidden=(3, 3))
ATROUS = resnet.ResNet(14, width=4, output_stride=8, num_classes=0)
DDPM = ddpm_unet.DDPMUNet(width=32, attention=(8,), groups=16, conditional=True)

RESNET = resnet.ResNet(18, num_classes=0)
pyramid = lambda top="p6p7", **fields: FPN(backbone=RESNET, top=top, width=32, **fields)

# (module, its port) -> a network with every kind of leaf, and the shapes of its inputs.
SYMMETRIC = dict(padding="symmetric")
TORCH = dict(**SYMMETRIC, epsilon=1e-5)
CASES = {
    (mlp, "torch"): (MLP(hidden=(5,), num_classes=3), [(1, 4, 3, 2)]),
    (lenet, "torch"): (lenet.LeNet5(), [(1, 28, 28, 1)]),
    (lenet, "torch_original"): (lenet.LeNet5(variant="original"), [(1, 28, 28, 1)]),
    (alexnet, "torchvision"): (alexnet.AlexNet("torchvision", width=0.125, hidden=3), [(1, 67, 67, 3)]),
    **{
        (vgg, f"torchvision_vgg{layers}{suffix}"): (VGG.clone(variant=variant, norm=norm), [(1, 32, 32, 3)])
        for layers, variant in {11: "A", 13: "B", 16: "D", 19: "E"}.items()
        for suffix, norm in {"": "none", "_bn": "batch"}.items()
    },
    (googlenet, "torchvision"): (googlenet.GoogLeNet("torchvision", width=0.125), [(1, 32, 32, 3)]),
    (resnet_cifar, "akamaster"): (resnet_cifar.CifarResNet(depth=8, shortcut="B"), [(1, 32, 32, 3)]),
    (resnet, "torchvision"): (resnet.ResNet(depth=18, num_classes=10), [(1, 32, 32, 3)]),
    (inception_v3, "torchvision"): (inception_v3.InceptionV3(num_classes=10), [(1, 75, 75, 3)]),
    (inception_v3, "pytorch_fid"): (inception_v3.InceptionV3("fid", num_classes=10), [(1, 75, 75, 3)]),
    (vit, "timm"): (VIT.clone(representation=7), [(1, 32, 32, 3)]),
    (vit, "transformers_dinov2"): (VIT.clone(registers=4, layer_scale=1.0), [(1, 32, 32, 3)]),
    (vit, "transformers"): (VIT, [(1, 32, 32, 3)]),
    (unet, "milesial"): (unet.UNet(width=2, padding="same", norm="batch"), [(1, 16, 16, 1)]),
    (cyclegan, "junyanz_resnet_9blocks"): (cyclegan.Generator(width=2), [(1, 8, 8, 3)]),
    (cyclegan, "junyanz_resnet_6blocks"): (cyclegan.Generator(width=2, blocks=6), [(1, 8, 8, 3)]),
    (cyclegan, "junyanz_basic"): (cyclegan.Discriminator(width=2), [(1, 32, 32, 3)]),
    (dcgan, "examples_generator"): (dcgan.Generator(width=4), [(1, 100)]),
    (dcgan, "examples_discriminator"): (dcgan.Discriminator(width=4), [(1, 64, 64, 3)]),
    (dncnn, "kair"): (dncnn.DnCNN(norm="none", width=2), [(1, 12, 12, 1)]),
    (ddpm_unet, "diffusers"): (DDPM, [(1, 16, 16, 3), (1,)]),
    (resnet, "timm"): (resnet.ResNet(18, attention="cbam"), [(1, 32, 32, 3)]),
    (resnet, "timm_sk"): (resnet.ResNet(14, attention="sk"), [(1, 32, 32, 3)]),
    (resnet_v2, "timm"): (resnet_v2.ResNetV2(14, width=4), [(1, 32, 32, 3)]),
    (botnet, "timm"): (botnet.BoTNet(14, width=8), [(1, 32, 32, 3)]),
    (densenet, "torchvision"): (densenet.DenseNet(layers=(2, 1), growth=2), [(1, 32, 32, 3)]),
    (inception_v4, "timm"): (inception_v4.InceptionV4((2, 1, 2), width=0.02), [(1, 75, 75, 3)]),
    (inception_resnet, "timm"): (inception_resnet.InceptionResNet(blocks=(2, 1, 1), width=0.02), [(1, 75, 75, 3)]),
    (inception_resnet, "facenet_pytorch"): (
        inception_resnet.InceptionResNet("v1", (1, 2, 1), embedding=4, width=0.02),
        [(1, 75, 75, 3)],
    ),
    (senet, "timm"): (senet.SENet((1, 2, 1, 1), 8, 2), [(1, 32, 32, 3)]),
    (preact_cifar, "xternalz"): (preact_cifar.CifarPreActResNet(8, shortcut="B"), [(1, 8, 8, 3)]),
    (mobilenet_v1, "timm"): (mobilenet_v1.MobileNetV1(0.25, **TORCH), [(1, 32, 32, 3)]),
    (mobilenet_v2, "torchvision"): (mobilenet_v2.MobileNetV2(0.25, **TORCH), [(1, 32, 32, 3)]),
    (mobilenet_v3, "torchvision_large"): (mobilenet_v3.MobileNetV3(width=0.25, **SYMMETRIC), [(1, 32, 32, 3)]),
    (mobilenet_v3, "torchvision_small"): (mobilenet_v3.MobileNetV3("small", 0.25, **SYMMETRIC), [(1, 32, 32, 3)]),
    (efficientnet, "torchvision"): (efficientnet.EfficientNet(width=0.25, depth=0.3, **SYMMETRIC), [(1, 32, 32, 3)]),
    (squeezenet, "torchvision_1_0"): (squeezenet.SqueezeNet(width=0.25), [(1, 32, 32, 3)]),
    (squeezenet, "torchvision_1_1"): (squeezenet.SqueezeNet("1.1", 0.25), [(1, 32, 32, 3)]),
    (shufflenet_v2, "torchvision"): (
        shufflenet_v2.ShuffleNetV2(depths=(2, 1, 1), channels=(8, 16, 24, 16)),
        [(1, 32, 32, 3)],
    ),
    (convnext, "timm"): (convnext.ConvNeXt(widths=(4, 8), depths=(1, 2)), [(1, 32, 32, 3)]),
    (regnet, "torchvision"): (
        regnet.RegNet("Y-400MF", depth=4, initial=16, slope=16.0, step=2.0, group=8),
        [(1, 32, 32, 3)],
    ),
    (darknet, "timm"): (darknet.Darknet(width=2, depths=(1, 1, 1, 1, 2)), [(1, 32, 32, 3)]),
    (mixer, "timm"): (mixer.Mixer(width=8, depth=2, tokens=4, channels=16, patch=8), [(1, 32, 32, 3)]),
    (swin, "torchvision"): (
        swin.Swin(patch=2, window=4, width=4, depths=(2, 2), heads=(1, 2)),
        [(1, 32, 32, 3)],
    ),
    (squeezenet, "caffe"): (squeezenet.SqueezeNet(width=0.25), [(1, 32, 32, 3)]),
    (vgg, "keras"): (VGG, [(1, 32, 32, 3)]),
    (vit, "vit_jax"): (VIT.clone(representation=7), [(1, 32, 32, 3)]),
    (detr, "transformers"): (
        detr.DETR(backbone=RESNET, queries=3, width=8, heads=2, hidden=4, encoder=1, decoder=1),
        [(1, 64, 64, 3)],
    ),
    (faster_rcnn, "torchvision"): (
        faster_rcnn.FasterRCNN(
            backbone=pyramid("pool", levels=tuple(f"stage{i}" for i in range(1, 5))),
            hidden=4,
            masks=True,
            mask_width=4,
            num_classes=3,
        ),
        [(1, 64, 64, 3)],
    ),
    (fcos, "torchvision"): (fcos.FCOS(backbone=pyramid(), num_classes=3), [(1, 64, 64, 3)]),
    (retinanet, "torchvision"): (retinanet.RetinaNet(backbone=pyramid(), num_classes=3), [(1, 64, 64, 3)]),
    (ssd, "torchvision"): (ssd.SSD(backbone=ssd.SSDVGG(width=8), num_classes=3), [(1, 300, 300, 3)]),
    (igpt, "transformers"): (igpt.IGPT(width=12, depth=2, heads=3, outputs=5), [(1, 4, 4, 1)]),
    (fcn, "pytorch_fcn"): (fcn.FCN(width=2, hidden=3, learn_last=True), [(1, 8, 8, 3)]),
    (fcn, "torchvision"): (fcn.DilatedFCN(ATROUS, auxiliary=0.5), [(1, 32, 32, 3)]),
    (drn, "fyu_c"): (drn.DRN("C-58", (1, 1, 1, 2, 1, 1, 1, 1), width=2), [(1, 16, 16, 3)]),
    (drn, "fyu_d"): (drn.DRN("D-22", (1, 2, 1, 1, 1, 1, 1, 1), width=2), [(1, 16, 16, 3)]),
    (segformer, "transformers"): (
        segformer.SegFormer(widths=(4, 4, 10, 8), depths=(1, 2, 1, 1), decoder=4),
        [(1, 32, 32, 3)],
    ),
    (deeplab, "torchvision"): (deeplab.DeepLabV3(ATROUS, width=3, auxiliary=0.5), [(1, 32, 32, 3)]),
    (pix2pix, "junyanz_unet_256"): (pix2pix.Generator(width=2), [(1, 256, 256, 3)]),
    (pix2pix, "junyanz_unet_128"): (pix2pix.Generator(width=2, depth=7), [(1, 128, 128, 3)]),
    (pix2pix, "junyanz_basic"): (pix2pix.Discriminator(width=2), [(1, 32, 32, 6)]),
    (mae, "transformers"): (
        mae.MAE(8, 8, 1, 2, 8, decoder_width=8, decoder_depth=1, decoder_heads=2),
        [(1, 32, 32, 3), (1, 16)],
    ),
    (dit, "diffusers"): (dit.DiT(width=8, depth=1, heads=2), [(1, 32, 32, 3), (1,)]),
}
# The names that the other library gives, where a golden has recorded them.
GOLDENS = {
    (resnet, "torchvision"): "resnet18",
    (inception_v3, "torchvision"): "inception_v3_torchvision",
    (inception_v3, "pytorch_fid"): "inception_v3_fid",
    (vit, "transformers"): "vit",
    (unet, "milesial"): "unet_same",
    (cyclegan, "junyanz_resnet_9blocks"): "cyclegan_generator",
    (cyclegan, "junyanz_basic"): "cyclegan_discriminator",
    (dcgan, "examples_generator"): "dcgan_generator",
    (dcgan, "examples_discriminator"): "dcgan_discriminator",
    (ddpm_unet, "diffusers"): "ddpm_unet",
    (pix2pix, "junyanz_unet_128"): "pix2pix_generator",
    (pix2pix, "junyanz_basic"): "pix2pix_discriminator",
}


def test_every_port_has_a_case():
    modules = {entry(name)[0] for name in MODELS}
    ports = {(module, port) for module in modules for port in vars(module).get("PORTS", {})}
    assert ports == CASES.keys()


@pytest.mark.parametrize(("module", "port"), CASES)
def test_import_and_export_are_exact_inverses(module, port):
    network, shapes = CASES[module, port]
    like = abstract(network, *map(jnp.zeros, shapes), train=False)
    port = module.PORTS[port]
    port.check(network)
    variables = filled(like)
    tensors = to_torch(variables, port)
    jax.tree.map(np.testing.assert_array_equal, from_torch(tensors, like, port), variables)

    random = np.random.default_rng(1)
    tensors = {name: random.standard_normal(x.shape).astype(x.dtype) for name, x in tensors.items()}
    again = to_torch(from_torch(tensors, like, port), port)
    assert again.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(again[name], tensor, err_msg=name)


@pytest.mark.parametrize(("module", "port"), [(mobilenet_v2, "torchvision"), (inception_v3, "pytorch_fid")])
def test_a_network_of_other_conventions_is_refused(module, port):
    """Names and shapes are equal, but not the numbers."""
    with pytest.raises(
        ModelError, match=r"weights of this naming are of a network with (padding|variant)='\w+', not '"
    ):
        module.PORTS[port].check(
            {mobilenet_v2: mobilenet_v2.MobileNetV2(), inception_v3: inception_v3.InceptionV3()}[module]
        )


@pytest.mark.parametrize(("module", "port"), GOLDENS)
def test_exported_tensors_have_the_names_and_shapes_of_the_other_library(module, port):
    network, shapes = CASES[module, port]
    expected = golden_shapes(golden(GOLDENS[module, port]))
    widened = {unet: dict(width=4), inception_v3: {}}.get(module, {})
    like = abstract(network.clone(**widened), *map(jnp.zeros, shapes), train=False)
    exported = to_torch(filled(like), module.PORTS[port])
    assert {name: tensor.shape for name, tensor in exported.items()} == expected


def test_a_fused_tensor_is_split_and_joined():
    like = abstract(VIT, jnp.zeros((1, 32, 32, 3)), train=False)
    variables = filled(like)
    fused = to_torch(variables, vit.PORTS["timm"])["blocks.1.attn.qkv.weight"]
    attention = variables["params"]["block1"]["attention"]
    expected = [attention[name]["kernel"].T for name in ("query", "key", "value")]
    np.testing.assert_array_equal(fused, np.concatenate(expected))
    with pytest.raises(ModelError, match=r"attn\.qkv\.bias has 3 parts, but there are leaves for 1"):
        to_torch({"params": {"block0": {"attention": {"query": {"bias": np.zeros(24)}}}}}, vit.PORTS["timm"])


PORT = Port(names={"^hidden_0/": "0/", "^output/": "2/"}, flattened={"^hidden_0/": (4, 3)})


@pytest.fixture
def weights():
    random = np.random.default_rng(0)
    shapes = {"0.weight": (5, 24), "0.bias": (5,), "2.weight": (3, 5), "2.bias": (3,)}
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def like():
    return abstract(MLP(hidden=(5,), num_classes=3), jnp.zeros((1, 4, 3, 2)), train=False)


def test_a_layer_that_reads_a_flattened_map_is_reordered(weights, like):
    images = np.random.default_rng(1).standard_normal((2, 4, 3, 2)).astype(np.float32)  # NHWC
    variables = from_torch(weights, like, PORT)
    channels_first = images.transpose(0, 3, 1, 2).reshape(2, -1)
    hidden = np.maximum(channels_first @ weights["0.weight"].T + weights["0.bias"], 0)
    expected = hidden @ weights["2.weight"].T + weights["2.bias"]
    logits = MLP(hidden=(5,), num_classes=3).apply(variables, images, train=False)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    again = to_torch(variables, PORT)
    assert again.keys() == weights.keys()
    for name, tensor in weights.items():
        np.testing.assert_array_equal(again[name], tensor)


def test_what_does_not_fit_is_reported_one_per_line(weights, like):
    wrong = {**weights, "2.bias": np.zeros(4), "7.weight": np.zeros(3)}
    del wrong["0.bias"]
    with pytest.raises(ModelError) as error:
        from_torch(wrong, like, PORT)
    assert str(error.value).splitlines() == [
        "2.bias is (4,), but output/bias needs (3,)",
        "no place for 7.weight",
        "no tensor 0.bias for hidden_0/bias",
    ]
    port = dataclasses.replace(PORT, ignored=(r"^7\.",))
    with pytest.raises(ModelError, match="another leaf is too"):
        to_torch(from_torch({**weights, "7.weight": np.zeros(3)}, like, port), Port(names={r"^\w+/": "0/"}))


def test_prefixes_and_counters_of_torch_are_ignored(weights, like):
    parallel = {f"module.{name}": x for name, x in weights.items()} | {"module.bn.num_batches_tracked": np.array(3)}
    jax.tree.map(np.testing.assert_array_equal, from_torch(parallel, like, PORT), from_torch(weights, like, PORT))


def test_types_are_those_of_the_network(weights, like):
    half = {name: x.astype(np.float16) for name, x in weights.items()}
    assert {x.dtype for x in jax.tree.leaves(from_torch(half, like, PORT))} == {np.dtype(np.float32)}


def test_a_slice_of_the_wrong_size_names_the_whole_tensor():
    port = Port(names={r"^(a|b)/": "ab/"}, slices={"^a/": Slice(0, 2), "^b/": Slice(1, 2)})
    like = {"params": {name: {"kernel": np.zeros((2, 3))} for name in "ab"}}
    with pytest.raises(ModelError, match=r"ab\.weight is \(5, 2\), but ./kernel needs \(6, 2\)"):
        from_torch({"ab.weight": np.zeros((5, 2))}, like, port)


def safetensors(path) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors file: the length of a JSON header, the header, the bytes."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    header.pop("__metadata__", None)
    types = {"F16": np.float16, "F32": np.float32}
    return {
        name: np.frombuffer(data[slice(*x["data_offsets"])], types[x["dtype"]]).reshape(x["shape"])
        for name, x in header.items()
    }


def test_weights_of_timm_recognise_real_pictures(shared_datasets):
    """The first 40 of 100 classes: 34 right. They are probably training pictures: they check the port, no accuracy."""
    weights = safetensors(shared_datasets / "weights_imagenet" / "vit_tiny_patch16_224.safetensors")
    model, folder, count = vit.ViT(variant="Ti"), shared_datasets / "imagenet_sample", 40
    rows = [line.split(",") for line in (folder / "labels.csv").read_text().split()[1 : count + 1]]
    images = []
    for file, _ in rows:
        image = Image.open(folder / file).convert("RGB")
        left, top = (image.width - 224) // 2, (image.height - 224) // 2
        images.append(np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 127.5 - 1)
    variables = from_torch(weights, abstract(model, images[0][None], train=False), vit.PORTS["timm"])
    logits = jax.jit(partial(model.apply, train=False))(variables, np.stack(images))
    labels = np.array([int(label) for _, label in rows])
    assert np.sum(np.argmax(logits, -1) == labels) == pytest.approx(34, abs=1)
    again = to_torch(variables, vit.PORTS["timm"])
    assert {name: x.shape for name, x in again.items()} == {name: x.shape for name, x in weights.items()}
