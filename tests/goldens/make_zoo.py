"""Reference outputs of torchvision's and timm's classifiers, narrow or with few blocks. The suite reads the .npz files.

python -m tests.goldens.make_zoo [NAME ...]    # needs torch, torchvision and timm
"""

import sys
from functools import partial

from tests.goldens.record import record_classifier

CLASSES = 10


def alexnet():
    """torchvision's, with fully connected layers of width 64."""
    from torch import nn
    from torchvision.models import alexnet

    model = alexnet(num_classes=CLASSES)
    for number, (inputs, outputs) in {1: (256 * 36, 64), 4: (64, 64), 6: (64, CLASSES)}.items():
        model.classifier[number] = nn.Linear(inputs, outputs)
    return model


def vgg(variant: str, norm: bool):
    """torchvision's, of an eighth of the channels, with fully connected layers of width 64."""
    from torch import nn
    from torchvision.models import vgg

    channels = [layer if layer == "M" else layer // 8 for layer in vgg.cfgs[variant]]
    model = vgg.VGG(vgg.make_layers(channels, norm), num_classes=CLASSES)
    for number, (inputs, outputs) in {0: (64 * 49, 64), 3: (64, 64), 6: (64, CLASSES)}.items():
        model.classifier[number] = nn.Linear(inputs, outputs)
    return model


def googlenet():
    """torchvision's, with both auxiliary classifiers."""
    from torchvision.models import googlenet

    return googlenet(weights=None, num_classes=CLASSES, init_weights=False)


def deit():
    """timm's, with a class and a distillation token."""
    from timm.models.deit import VisionTransformerDistilled

    return VisionTransformerDistilled(
        img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, mlp_ratio=2, num_classes=CLASSES
    )


def dinov2():
    """transformers' network with registers. Its head reads the class token and the mean of the patches."""
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersForImageClassification

    config = Dinov2WithRegistersConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        mlp_ratio=2,
        image_size=32,
        patch_size=8,
        num_labels=CLASSES,
        num_register_tokens=4,
        layer_norm_eps=1e-6,
    )

    class Logits(Dinov2WithRegistersForImageClassification):
        def forward(self, images):
            return super().forward(images).logits

    return Logits(config)


def resnet(block: str, blur=False, **options):
    """timm's, with one block a stage."""
    from timm.layers import BlurPool2d
    from timm.models import resnet, sknet

    block = getattr(sknet if "Kernel" in block else resnet, block)
    return resnet.ResNet(block, (1, 1, 1, 1), CLASSES, aa_layer=BlurPool2d if blur else None, **options)


def non_local_resnet18():
    """torchvision's, with timm's non-local block, which has the paper's widths and no scale, after two blocks."""
    from timm.layers import NonLocalAttn
    from torchvision.models import resnet18

    model = resnet18(num_classes=CLASSES)
    for stage, channels in ((model.layer2, 128), (model.layer3, 256)):
        stage.append(NonLocalAttn(channels, use_scale=False, rd_ratio=1 / 2))
    return model


def resnext29():
    """torchvision's ResNeXt, with the first layers and the three stages that it has for CIFAR."""
    from torch import nn
    from torchvision.models.resnet import Bottleneck, ResNet

    model = ResNet(Bottleneck, [3, 3, 3, 1], CLASSES, groups=2, width_per_group=4)
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    model.layer4, model.fc = nn.Identity(), nn.Linear(1024, CLASSES)
    return model


def resnet_v2(width: int, stem: str, conv, norm):
    """timm's, with one block a stage."""
    from timm.models.resnetv2 import ResNetV2

    channels = tuple(4 * width * 2**stage for stage in range(4))
    options = dict(stem_chs=width, stem_type=stem, conv_layer=conv, norm_layer=norm)
    return ResNetV2((1, 1, 1, 1), channels, CLASSES, **options)


def resnetv2_batch():
    from timm.layers import BatchNormAct2d, create_conv2d

    return resnet_v2(16, "", create_conv2d, BatchNormAct2d)


def resnetv2_bit():
    from timm.layers import GroupNormAct, StdConv2d

    return resnet_v2(32, "fixed", partial(StdConv2d, eps=1e-8), partial(GroupNormAct, num_groups=32))


def preact_cifar(windows: tuple[int, ...], widen: int, projections: bool):
    """Written from He et al. 2016 (ECCV), figure 4(e), and Zagoruyko & Komodakis 2016, with two blocks a stage.

    The names are those of xternalz's Wide ResNet.
    """
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self, inputs, channels, stride):
            super().__init__()
            widths = [inputs, *[channels] * (len(windows) - 1), channels * (4 if len(windows) == 3 else 1)]
            self.count, self.stride, self.new = len(windows), stride, widths[-1] - inputs
            for i, window in enumerate(windows):
                step = stride if i == windows.index(3) else 1
                conv = nn.Conv2d(widths[i], widths[i + 1], window, step, window // 2, bias=False)
                setattr(self, f"bn{i + 1}", nn.BatchNorm2d(widths[i]))
                setattr(self, f"conv{i + 1}", conv)
            if projections and (stride > 1 or self.new):
                self.convShortcut = nn.Conv2d(inputs, widths[-1], 1, stride, bias=False)

        def forward(self, x):
            y, shortcut = F.relu(self.bn1(x)), x
            if hasattr(self, "convShortcut"):
                shortcut = self.convShortcut(y)
            elif self.stride > 1:
                zeros = torch.zeros_like(x[:, : self.new // 2, :: self.stride, :: self.stride])
                shortcut = torch.cat([zeros, x[:, :, :: self.stride, :: self.stride], zeros], 1)
            y = self.conv1(y)
            for i in range(2, self.count + 1):
                y = getattr(self, f"conv{i}")(F.relu(getattr(self, f"bn{i}")(y)))
            return shortcut + y

    class Stage(nn.Module):
        def __init__(self, inputs, channels, stride):
            super().__init__()
            outputs = channels * (4 if len(windows) == 3 else 1)
            self.layer = nn.Sequential(Block(inputs, channels, stride), Block(outputs, channels, 1))

        def forward(self, x):
            return self.layer(x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [16 * widen * 2**stage for stage in range(3)]
            grown = [width * (4 if len(windows) == 3 else 1) for width in widths]
            self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.block1 = Stage(16, widths[0], 1)
            self.block2 = Stage(grown[0], widths[1], 2)
            self.block3 = Stage(grown[1], widths[2], 2)
            self.bn1 = nn.BatchNorm2d(grown[2])
            self.fc = nn.Linear(grown[2], CLASSES)

        def forward(self, x):
            x = self.block3(self.block2(self.block1(self.conv1(x))))
            return self.fc(F.relu(self.bn1(x)).mean((2, 3)))

    return Net()


def densenet():
    """torchvision's, of growth 8, with two layers a block."""
    from torchvision.models import DenseNet

    return DenseNet(8, (2, 2, 2, 2), 16, num_classes=CLASSES)


def densenet_cifar():
    """Written from Huang et al. 2017, section 3, without bottlenecks and compression, with torchvision's names."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Layer(nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, 12, 3, 1, 1, bias=False)

        def forward(self, x):
            return torch.cat([x, self.conv1(F.relu(self.norm1(x)))], 1)

    class Transition(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.norm, self.conv = nn.BatchNorm2d(channels), nn.Conv2d(channels, channels, 1, bias=False)

        def forward(self, x):
            return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential()
            self.features.add_module("conv0", nn.Conv2d(3, 16, 3, 1, 1, bias=False))
            for block in range(3):
                channels = 16 + 24 * block
                layers = {f"denselayer{i + 1}": Layer(channels + 12 * i) for i in range(2)}
                self.features.add_module(f"denseblock{block + 1}", nn.Sequential())
                for name, layer in layers.items():
                    self.features[-1].add_module(name, layer)
                if block < 2:
                    self.features.add_module(f"transition{block + 1}", Transition(channels + 24))
            self.features.add_module("norm5", nn.BatchNorm2d(88))
            self.classifier = nn.Linear(88, CLASSES)

        def forward(self, x):
            return self.classifier(F.relu(self.features(x)).mean((2, 3)))

    return Net()


def vit_hybrid():
    """timm's, with a backbone of three stages of one block."""
    from timm.layers import HybridEmbed, StdConv2dSame
    from timm.models.resnetv2 import ResNetV2
    from timm.models.vision_transformer import VisionTransformer

    conv = partial(StdConv2dSame, eps=1e-8)
    options = dict(num_classes=0, global_pool="", preact=False, stem_type="same", stem_chs=32, conv_layer=conv)
    embed = partial(HybridEmbed, backbone=ResNetV2((1, 1, 1), (128, 256, 512), **options))
    return VisionTransformer(
        32, 1, embed_layer=embed, embed_dim=24, depth=2, num_heads=3, mlp_ratio=2, num_classes=CLASSES
    )


def self_attention_net(**attention):
    """timm's network with the first layers of ResNet. Its last block attends."""
    from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

    blocks = [ByoBlockCfg("bottle", 1, 64 * 2**i, 2 if i else 1, gs=0, br=0.25) for i in range(3)]
    blocks.append(ByoBlockCfg("self_attn", 1, 512, 2, gs=0, br=0.25))
    config = ByoModelCfg(tuple(blocks), stem_type="7x7", stem_chs=16, **attention)
    return ByobNet(config, num_classes=CLASSES, img_size=64)


def botnet():
    options = dict(scale_pos_embed=True)
    return self_attention_net(self_attn_layer="bottleneck", self_attn_kwargs=options, fixed_input_size=True)


def halonet():
    """timm's, with blocks of 2 and a halo of 1.

    Keys have a convolution apart from values; the first two vectors of each table of positions, which nothing uses, are
    left out.
    """
    import torch
    from timm.layers.halo_attn import HaloAttn
    from torch import nn
    from torch.nn import functional as F
    from torch.nn.utils.parametrize import register_parametrization

    class KeysAndValues(nn.Module):
        def __init__(self, channels, heads):
            super().__init__()
            self.heads = heads
            self.key, self.value = (nn.Conv2d(channels, channels, 1, bias=False) for _ in range(2))

        def forward(self, x):
            return torch.cat([y.unflatten(1, (self.heads, -1)) for y in (self.key(x), self.value(x))], 2).flatten(1, 2)

    class Used(nn.Module):
        def forward(self, table):
            return F.pad(table, (0, 0, 2, 0))

        def right_inverse(self, table):
            return table[2:]

    options = dict(num_heads=4, block_size=2, halo_size=1, avg_down=True, scale_pos_embed=True)
    net = self_attention_net(self_attn_layer="halo", self_attn_kwargs=options)
    for layer in [layer for layer in net.modules() if isinstance(layer, HaloAttn)]:
        layer.kv = KeysAndValues(128, 4)
        register_parametrization(layer.pos_embed, "height_rel", Used())
        register_parametrization(layer.pos_embed, "width_rel", Used())
    return net


def mobilenet_v1():
    """timm's, of a quarter of the channels, with one block a stage but for two in the fourth."""
    from timm.models.efficientnet import _gen_mobilenet_v1

    return _gen_mobilenet_v1("mobilenetv1_100", 0.25, depth_multiplier=0.3, num_classes=CLASSES)


def mobilenet_v2():
    """torchvision's, of a quarter of the channels, with one block a stage but for two in the second."""
    from torchvision.models import MobileNetV2

    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 1, 2), (6, 64, 1, 2), (6, 96, 1, 1), (6, 160, 1, 2), (6, 320, 1, 1))
    return MobileNetV2(CLASSES, 0.25, [list(row) for row in rows])


def mobilenet_v3_small():
    """torchvision's, of a quarter of the channels."""
    from torchvision.models import mobilenetv3

    rows, hidden = mobilenetv3._mobilenet_v3_conf("mobilenet_v3_small", width_mult=0.25)
    return mobilenetv3.MobileNetV3(rows, hidden, CLASSES)


def efficientnet():
    """torchvision's, of a quarter of the channels and three tenths of the blocks, with the normalisation of its B5."""
    from torch import nn
    from torchvision.models import efficientnet

    rows = (
        (1, 3, 1, 32, 16, 1),
        (6, 3, 2, 16, 24, 2),
        (6, 5, 2, 24, 40, 2),
        (6, 3, 2, 40, 80, 3),
        (6, 5, 1, 80, 112, 3),
        (6, 5, 2, 112, 192, 4),
        (6, 3, 1, 192, 320, 1),
    )
    rows = [efficientnet.MBConvConfig(*row, 0.25, 0.3) for row in rows]
    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
    return efficientnet.EfficientNet(rows, 0.0, 0.0, CLASSES, norm, last_channel=320)


def squeezenet1_1():
    from torchvision.models import squeezenet1_1

    return squeezenet1_1(num_classes=CLASSES)


def shufflenet_v2():
    """torchvision's, narrow and with few blocks."""
    from torchvision.models import ShuffleNetV2

    return ShuffleNetV2([2, 2, 1], [24, 16, 32, 64, 48], CLASSES)


def convnext():
    """timm's, narrow and with few blocks."""
    from timm.models.convnext import ConvNeXt

    return ConvNeXt(depths=(1, 1, 2, 1), dims=(8, 16, 24, 32), num_classes=CLASSES)


def regnet_y():
    """torchvision's, of four blocks."""
    from torchvision.models.regnet import BlockParams, RegNet

    return RegNet(BlockParams.from_init_params(4, 16, 16, 2, 8, se_ratio=0.25), CLASSES)


def darknet53():
    """timm's, of an eighth of the channels, with few blocks."""
    from dataclasses import replace

    from timm.models.cspnet import CspNet, model_cfgs

    cfg = model_cfgs["darknet53"]
    stages = replace(cfg.stages, depth=(1, 1, 1, 1, 2), out_chs=(8, 16, 32, 64, 128))
    return CspNet(replace(cfg, stem=replace(cfg.stem, out_chs=4), stages=stages), num_classes=CLASSES)


def xception():
    """Written from Chollet 2017, figure 5, of an eighth of the channels with one block in the middle, and our names."""
    from torch import nn
    from torch.nn import functional as F

    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
    narrow = [n // 8 for n in (32, 64, 128, 256, 728, 1024, 1536, 2048)]
    first, second, *entry, outer, third, fourth = narrow

    class Separable(nn.Module):
        def __init__(self, inputs, channels):
            super().__init__()
            self.depthwise = nn.Conv2d(inputs, inputs, 3, 1, 1, groups=inputs, bias=False)
            self.pointwise, self.bn = nn.Conv2d(inputs, channels, 1, bias=False), norm(channels)

        def forward(self, x):
            return self.bn(self.pointwise(self.depthwise(x)))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, first, 3, 2, bias=False), norm(first)
            self.conv2, self.bn2 = nn.Conv2d(first, second, 3, bias=False), norm(second)
            pairs = zip((second, *entry), entry, entry, strict=False)
            blocks = {f"entry{i}": block for i, block in enumerate(pairs, 1)}
            for name, (inputs, inner, outputs) in {**blocks, "exit": (entry[-1], entry[-1], outer)}.items():
                self.add_module(f"{name}_1", Separable(inputs, inner))
                self.add_module(f"{name}_2", Separable(inner, outputs))
                self.add_module(f"{name}_shortcut", nn.Conv2d(inputs, outputs, 1, 2, bias=False))
                self.add_module(f"{name}_shortcut_bn", norm(outputs))
            for i in (1, 2, 3):
                self.add_module(f"middle1_{i}", Separable(entry[-1], entry[-1]))
            self.last1, self.last2 = Separable(outer, third), Separable(third, fourth)
            self.classifier = nn.Linear(fourth, CLASSES)

        def halve(self, x, name):
            part = lambda suffix: getattr(self, f"{name}_{suffix}")
            y = part("1")(x if name == "entry1" else F.relu(x))
            y = F.max_pool2d(part("2")(F.relu(y)), 3, 2, 1)
            return y + part("shortcut_bn")(part("shortcut")(x))

        def forward(self, x):
            x = F.relu(self.bn1(self.conv1(x)))
            x = F.relu(self.bn2(self.conv2(x)))
            for name in ("entry1", "entry2", "entry3"):
                x = self.halve(x, name)
            y = x
            for layer in (self.middle1_1, self.middle1_2, self.middle1_3):
                y = layer(F.relu(y))
            x = self.halve(x + y, "exit")
            x = F.relu(self.last2(F.relu(self.last1(x))))
            return self.classifier(x.mean((2, 3)))

    return Net()


def mixer():
    """timm's, narrow, with two blocks."""
    from timm.models.mlp_mixer import MlpMixer

    return MlpMixer(CLASSES, img_size=32, patch_size=8, num_blocks=2, embed_dim=24)


def swin():
    """torchvision's, narrow, with three stages of two blocks."""
    from torchvision.models import SwinTransformer

    return SwinTransformer([2, 2], 8, [2, 2, 2], [1, 2, 4], [4, 4], stochastic_depth_prob=0.0, num_classes=CLASSES)


MOBILENET = {"stem": "features.0", "stage2": "features.3", "stage4": "features.5", "stage7": "features.8"}
DENSENET = {f"stage{i}": f"features.denseblock{i}" for i in range(1, 4)}


def eighth(build):
    """What build() makes, with an eighth of the channels of every convolution but of its image."""
    from unittest import mock

    from torch import nn

    conv, norm = nn.Conv2d.__init__, nn.BatchNorm2d.__init__

    def narrow_conv(self, inputs, outputs, *rest, **options):
        conv(self, inputs if inputs == 3 else inputs // 8, outputs // 8, *rest, **options)

    def narrow_norm(self, channels, *rest, **options):
        norm(self, channels // 8, *rest, **options)

    with (
        mock.patch.object(nn.Conv2d, "__init__", narrow_conv),
        mock.patch.object(nn.BatchNorm2d, "__init__", narrow_norm),
    ):
        return build()


def inception_v4():
    """timm's, with one block of each kind."""
    from timm.models.inception_v4 import InceptionV4
    from torch import nn

    model = eighth(InceptionV4)
    for left_out in (*range(7, 10), *range(12, 18), 20, 21):
        model.features[left_out] = nn.Identity()
    model.last_linear = nn.Linear(1536 // 8, CLASSES)
    return model


def inception_resnet_v2():
    """timm's, with one block of each kind and the last."""
    from timm.models.inception_resnet_v2 import InceptionResnetV2
    from torch import nn

    model = eighth(InceptionResnetV2)
    model.repeat, model.repeat_1, model.repeat_2 = model.repeat[:1], model.repeat_1[:1], model.repeat_2[:1]
    model.classif = nn.Linear(1536 // 8, CLASSES)
    return model


def inception_resnet_v1():
    """That of facenet-pytorch 2.6.0, installed without its dependencies, with one block of each kind and the last."""
    from facenet_pytorch import InceptionResnetV1
    from torch import nn

    model = eighth(lambda: InceptionResnetV1(classify=True, num_classes=CLASSES))
    model.repeat_1, model.repeat_2, model.repeat_3 = model.repeat_1[:1], model.repeat_2[:1], model.repeat_3[:1]
    model.last_linear, model.last_bn = nn.Linear(1792 // 8, 64, bias=False), nn.BatchNorm1d(64, eps=1e-3)
    model.logits = nn.Linear(64, CLASSES)
    return model


def senet():
    """timm's SENet-154, with one block a stage and four groups."""
    from timm.models.senet import SEBottleneck, SENet
    from torch import nn

    stem = dict(inplanes=128, input_3x3=True, downsample_kernel_size=3, downsample_padding=1)
    model = eighth(lambda: SENet(SEBottleneck, (1, 1, 1, 1), 4, 16, 0.0, **stem))
    model.last_linear = nn.Linear(2048 // 8, CLASSES)
    return model


INCEPTION_RESNET = {"stem": "conv2d_2b", "stage1": "conv2d_4a"}
RESNET_V2 = {"stem": "stem.conv", **{f"stage{i + 1}": f"stages.{i}" for i in range(4)}}
PREACT = {"stem": "conv1", "stage1": "block1", "stage2": "block2", "stage3": "block3"}
RESNET = {"stem": "act1", "stage1": "layer1", "stage2": "layer2", "stage3": "layer3", "stage4": "layer4"}
BOTNET = {"stem": "stem.conv1", **{f"stage{i + 1}": f"stages.{i}" for i in range(4)}}
RESNEXT = dict(cardinality=4, base_width=4)

# File -> (network, side of the images, our map -> their module).
ZOO = {
    "alexnet": (alexnet, 80, {"stage1": "features.1", "stage3": "features.7", "stage5": "features.11"}),
    "googlenet": (googlenet, 64, {"stem": "conv1", "stage2": "inception3b", "stage4": "inception5b"}),
    "vgg11": (lambda: vgg("A", False), 64, {"stage1": "features.1", "stage3": "features.9", "stage5": "features.19"}),
    "deit_distilled": (deit, 32, {}),
    "dinov2_registers": (dinov2, 32, {}),
    "vgg16_bn": (
        lambda: vgg("D", True),
        32,
        {"stage1": "features.5", "stage3": "features.22", "stage5": "features.42"},
    ),
    "se_resnext": (lambda: resnet("Bottleneck", **RESNEXT, block_args=dict(attn_layer="se")), 32, RESNET),
    "cbam_resnet_blur": (
        lambda: resnet("Bottleneck", blur=True, block_args=dict(attn_layer="cbam")),
        32,
        RESNET,
    ),
    "sk_resnext": (
        lambda: resnet(
            "SelectiveKernelBottleneck", **RESNEXT, block_args=dict(sk_kwargs=dict(rd_divisor=32, split_input=False))
        ),
        32,
        RESNET,
    ),
    "sk_resnet": (lambda: resnet("SelectiveKernelBottleneck"), 32, RESNET),
    "non_local_resnet18": (non_local_resnet18, 32, RESNET | {"stem": "relu"}),
    "resnetv2": (resnetv2_batch, 32, RESNET_V2),
    "resnetv2_bit": (resnetv2_bit, 32, RESNET_V2),
    "preact14": (lambda: preact_cifar((3, 3), 1, False), 16, PREACT),
    "preact20_bottleneck": (lambda: preact_cifar((1, 3, 1), 1, True), 16, PREACT),
    "wide_resnet": (lambda: preact_cifar((3, 3), 2, True), 16, PREACT),
    "densenet": (densenet, 32, {"stem": "features.relu0", **DENSENET, "stage4": "features.denseblock4"}),
    "densenet_cifar": (densenet_cifar, 16, {"stem": "features.conv0", **DENSENET}),
    "inception_v4": (
        inception_v4,
        75,
        {f"stage{stage}": f"features.{number}" for stage, number in ((1, 3), (2, 6), (3, 11), (4, 19))},
    ),
    "inception_resnet_v2": (
        inception_resnet_v2,
        75,
        {**INCEPTION_RESNET, "stage2": "repeat", "stage3": "repeat_1", "stage4": "conv2d_7b"},
    ),
    "inception_resnet_v1": (
        inception_resnet_v1,
        75,
        {**INCEPTION_RESNET, "stage2": "repeat_1", "stage3": "repeat_2", "stage4": "block8"},
    ),
    "senet": (senet, 64, RESNET | {"stem": "layer0"}),
    "mobilenet_v1": (mobilenet_v1, 32, {"stem": "bn1", "stage2": "blocks.1", "stage5": "blocks.4"}),
    "mobilenet_v2": (mobilenet_v2, 32, MOBILENET),
    "mobilenet_v3_small": (
        mobilenet_v3_small,
        32,
        {"stem": "features.0", "stage1": "features.1", "stage2": "features.3", "stage4": "features.11"},
    ),
    "efficientnet": (
        efficientnet,
        32,
        {"stem": "features.0", "stage1": "features.1", "stage4": "features.4", "stage7": "features.7"},
    ),
    "squeezenet1_1": (squeezenet1_1, 48, {"stem": "features.1", "stage1": "features.4", "stage3": "features.12"}),
    "shufflenet_v2": (shufflenet_v2, 32, {"stem": "conv1", "stage1": "stage2", "stage2": "stage3", "stage3": "stage4"}),
    "convnext": (convnext, 32, {"stem": "stem", "stage1": "stages.0", "stage2": "stages.1", "stage4": "stages.3"}),
    "regnet_y": (
        regnet_y,
        32,
        {"stem": "stem", **{f"stage{i}": f"trunk_output.block{i}" for i in range(1, 4)}},
    ),
    "darknet53": (darknet53, 32, {"stem": "stem", **{f"stage{i}": f"stages.{i - 1}" for i in range(1, 6)}}),
    "xception": (xception, 47, {}),
    "mixer": (mixer, 32, {}),
    "swin": (swin, 32, {}),
    "resnext29": (resnext29, 16, {"stem": "relu", "stage1": "layer1", "stage2": "layer2", "stage3": "layer3"}),
    "vit_hybrid": (vit_hybrid, 32, {}),
    "botnet": (botnet, 64, BOTNET),
    "halonet": (halonet, 64, BOTNET),
}


def main(names):
    for name in names or ZOO:
        build, side, maps = ZOO[name]
        record_classifier(name, build(), side, maps)


if __name__ == "__main__":
    main(sys.argv[1:])
