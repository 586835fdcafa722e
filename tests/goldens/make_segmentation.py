"""Reference outputs of networks that classify pixels, narrow or with few blocks. The suite reads the .npz files.

python -m tests.goldens.make_segmentation [NAME ...]    # needs torch, torchvision and transformers

Networks that no library has are written here from their papers' equations.
"""

import sys

from tests.goldens.record import record_classifier

CLASSES = 3


def narrow_resnet(blocks, dilated):
    """torchvision's ResNet of bottlenecks, of a quarter of the channels."""
    from torch import nn
    from torchvision.models.resnet import Bottleneck, ResNet

    class Narrow(ResNet):
        def _make_layer(self, block, planes, *arguments, **options):
            if planes == 64:
                self.inplanes = 16
            return super()._make_layer(block, planes // 4, *arguments, **options)

    model = Narrow(Bottleneck, list(blocks), replace_stride_with_dilation=list(dilated))
    model.conv1, model.bn1 = nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16)
    return model


def dilated_resnet(blocks=(1, 1, 1, 1)):
    """The atrous one, with the layers that heads read."""
    from torchvision.models._utils import IntermediateLayerGetter

    return IntermediateLayerGetter(narrow_resnet(blocks, (False, True, True)), {"layer4": "out", "layer3": "aux"})


def logits_of(model):
    """A module that answers with the logits alone, and in training with the auxiliary ones too."""
    from torch import nn

    class Logits(nn.Module):
        def __init__(self):
            super().__init__()
            for name, child in model.named_children():
                self.add_module(name, child)

        def forward(self, images):
            found = type(model).forward(self, images)
            return (found["out"], found["aux"]) if self.training else found["out"]

    return Logits()


def fcn_dilated():
    from torchvision.models.segmentation.fcn import FCN, FCNHead

    return logits_of(FCN(dilated_resnet((3, 4, 6, 3)), FCNHead(512, CLASSES), FCNHead(256, CLASSES)))


def deeplab_v3():
    from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3, FCNHead

    head = DeepLabHead(512, CLASSES)
    return logits_of(DeepLabV3(dilated_resnet(), head, FCNHead(256, CLASSES)))


def pspnet():
    """Zhao et al. 2017, figure 3, over torchvision's atrous ResNet."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Unit(nn.Module):
        def __init__(self, inputs, outputs, window):
            super().__init__()
            self.conv = nn.Conv2d(inputs, outputs, window, padding=window // 2, bias=False)
            self.norm = nn.BatchNorm2d(outputs)

        def forward(self, x):
            return F.relu(self.norm(self.conv(x)))

    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            for side in (1, 2, 3, 6):
                self.add_module(f"bins{side}", Unit(512, 128, 1))

        def forward(self, x):
            found = [x]
            for side in (1, 2, 3, 6):
                y = self.get_submodule(f"bins{side}")(F.adaptive_avg_pool2d(x, side))
                found.append(F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=True))
            return torch.cat(found, 1)

    class PSPNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.pyramid = dilated_resnet(), Pyramid()
            self.fuse, self.classifier = Unit(1024, 16, 3), nn.Conv2d(16, CLASSES, 1)

        def forward(self, images):
            x = self.classifier(self.fuse(self.pyramid(self.backbone(images)["out"])))
            return F.interpolate(x, size=images.shape[2:], mode="bilinear", align_corners=True)

    return PSPNet()


def fcn8s():
    """Long et al. 2015 with the geometry of the authors' Caffe models, of a 16th of the channels."""
    from torch import nn
    from torch.nn import functional as F

    class FCN(nn.Module):
        def __init__(self):
            super().__init__()
            self.stages, inputs = (2, 2, 3, 3, 3), 3
            for stage, count in enumerate(self.stages, 1):
                outputs = 4 * min(2 ** (stage - 1), 8)
                for i in range(1, count + 1):
                    padding = 100 if (stage, i) == (1, 1) else 1
                    self.add_module(f"conv{stage}_{i}", nn.Conv2d(inputs, outputs, 3, padding=padding))
                    inputs = outputs
            self.fc6, self.fc7 = nn.Conv2d(32, 24, 7), nn.Conv2d(24, 24, 1)
            self.score_fr = nn.Conv2d(24, CLASSES, 1)
            self.score_pool4, self.score_pool3 = nn.Conv2d(32, CLASSES, 1), nn.Conv2d(16, CLASSES, 1)
            self.upscore2, self.upscore_pool4 = (
                nn.ConvTranspose2d(CLASSES, CLASSES, 4, 2, bias=False) for _ in range(2)
            )
            self.upscore8 = nn.ConvTranspose2d(CLASSES, CLASSES, 16, 8, bias=False)

        def forward(self, images):
            x, pooled = images, {}
            for stage, count in enumerate(self.stages, 1):
                for i in range(1, count + 1):
                    x = F.relu(self.get_submodule(f"conv{stage}_{i}")(x))
                pooled[stage] = x = F.max_pool2d(x, 2, 2, ceil_mode=True)
            crop = lambda x, start, like: x[:, :, start : start + like.shape[2], start : start + like.shape[3]]
            x = self.upscore2(self.score_fr(F.relu(self.fc7(F.relu(self.fc6(x))))))
            x = self.upscore_pool4(x + crop(self.score_pool4(0.01 * pooled[4]), 5, x))
            x = x + crop(self.score_pool3(0.0001 * pooled[3]), 9, x)
            return crop(self.upscore8(x), 31, images)

    return FCN()


def segnet():
    """Badrinarayanan et al. 2017, section 3, of two stages."""
    from torch import nn
    from torch.nn import functional as F

    plan = {"down1": [(3, 4), (4, 4)], "down2": [(4, 8), (8, 8), (8, 8)], "up2": [(8, 8), (8, 8), (8, 4)]}
    plan["up1"] = [(4, 4)]

    class SegNet(nn.Module):
        def __init__(self):
            super().__init__()
            for stage, layers in plan.items():
                for i, (inputs, outputs) in enumerate(layers):
                    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
                    self.add_module(f"{stage}_{i}", nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU()))
            self.head = nn.Conv2d(4, CLASSES, 3, padding=1)

        def stage(self, name, x):
            for i in range(len(plan[name])):
                x = self.get_submodule(f"{name}_{i}")(x)
            return x

        def forward(self, x):
            remembered = []
            for name in ("down1", "down2"):
                x = self.stage(name, x)
                size = x.shape[2:]
                x, places = F.max_pool2d(x, 2, 2, return_indices=True)
                remembered.append((places, size))
            for name in ("up2", "up1"):
                places, size = remembered.pop()
                x = self.stage(name, F.max_unpool2d(x, places, 2, 2, output_size=size))
            return self.head(x)

    return SegNet()


def deconvnet():
    """Noh et al. 2015, table 5, of two stages. The image is padded to the 4×4 cells of fc6 and more."""
    from torch import nn
    from torch.nn import functional as F

    class DeconvNet(nn.Module):
        def __init__(self):
            super().__init__()
            unit = lambda layer: nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU())
            conv = lambda *widths: unit(nn.Conv2d(*widths, 3, padding=1))
            deconv = lambda *widths: unit(nn.ConvTranspose2d(*widths, 3, padding=1))
            self.conv1, self.conv2 = nn.Sequential(conv(3, 4), conv(4, 4)), nn.Sequential(conv(4, 8), conv(8, 8))
            self.fc6, self.fc7 = unit(nn.Conv2d(8, 12, 4)), unit(nn.Conv2d(12, 12, 1))
            self.deconv6 = unit(nn.ConvTranspose2d(12, 8, 4))
            self.deconv2 = nn.Sequential(deconv(8, 8), deconv(8, 4))
            self.deconv1 = nn.Sequential(deconv(4, 4), deconv(4, 4))
            self.head = nn.Conv2d(4, CLASSES, 1)

        def forward(self, images):
            height, width = images.shape[2:]
            x = F.pad(images, (0, -width % 4, 0, -height % 4))
            x, first = F.max_pool2d(self.conv1(x), 2, 2, return_indices=True)
            x, second = F.max_pool2d(self.conv2(x), 2, 2, return_indices=True)
            x = self.deconv6(self.fc7(self.fc6(x)))
            x = self.deconv2(F.max_unpool2d(x, second, 2, 2))
            x = self.deconv1(F.max_unpool2d(x, first, 2, 2))
            return self.head(x)[:, :, :height, :width]

    return DeconvNet()


def drn(kind: str, blocks, bottleneck: bool):
    """Yu et al. 2017 with the names of fyu/drn, of width 4."""
    from torch import nn
    from torch.nn import functional as F

    conv = lambda inputs, outputs, side, stride=1, dilation=1: nn.Conv2d(
        inputs, outputs, side, stride, side // 2 * dilation, dilation, bias=False
    )

    class Block(nn.Module):
        def __init__(self, inputs, planes, stride, dilation, bottleneck, residual):
            super().__init__()
            outputs, self.residual = planes * (4 if bottleneck else 1), residual
            layers = [conv(inputs, planes, 3, stride, dilation), conv(planes, planes, 3, 1, dilation)]
            if bottleneck:
                layers = [conv(inputs, planes, 1), conv(planes, planes, 3, stride, dilation), conv(planes, outputs, 1)]
            for i, layer in enumerate(layers, 1):
                self.add_module(f"conv{i}", layer)
                self.add_module(f"bn{i}", nn.BatchNorm2d(layer.out_channels))
            self.count = len(layers)
            if residual and (inputs != outputs or stride > 1):
                self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

        def forward(self, x):
            y = x
            for i in range(1, self.count + 1):
                y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(y))
                y = y if i == self.count else F.relu(y)
            if self.residual:
                y = y + (self.downsample(x) if hasattr(self, "downsample") else x)
            return F.relu(y)

    class DRN(nn.Module):
        def __init__(self):
            super().__init__()
            stem = [conv(3, 4, 7, 2 if kind == "A" else 1), nn.BatchNorm2d(4), nn.ReLU()]
            if kind == "D":
                self.layer0 = nn.Sequential(*stem)
            else:
                self.conv1, self.bn1, self.relu = stem
            widths, strides, dilations = (
                (4, 8, 16, 32, 64, 128, 128, 128),
                (1, 2, 2, 2, 1, 1, 1, 1),
                (1,) * 4 + (2, 4, 2, 1),
            )
            if kind == "A":
                widths, strides, dilations = (4, 8, 16, 32), (1, 2, 1, 1), (1, 1, 2, 4)
            self.stages, inputs = len(widths), 4
            for stage, (width, stride, dilation) in enumerate(zip(widths, strides, dilations, strict=True), 1):
                new, layers = kind != "A" and stage in (1, 2, 7, 8), []
                for i in range(blocks[stage - 1]):
                    step = stride if i == 0 else 1
                    if new and kind == "D":
                        layers += [conv(inputs, width, 3, step, dilation), nn.BatchNorm2d(width), nn.ReLU()]
                        inputs = width
                        continue
                    own = 1 if kind == "A" and i == 0 else dilation
                    layers.append(Block(inputs, width, step, own, bottleneck and not new, not new or stage < 3))
                    inputs = width * (4 if bottleneck and not new else 1)
                self.add_module(f"layer{stage}", nn.Sequential(*layers))
            self.fc = nn.Linear(inputs, CLASSES)

        def forward(self, x):
            x = self.layer0(x) if kind == "D" else self.relu(self.bn1(self.conv1(x)))
            x = F.max_pool2d(x, 3, 2, 1) if kind == "A" else x
            for stage in range(1, self.stages + 1):
                x = self.get_submodule(f"layer{stage}")(x)
            return self.fc(x.mean((2, 3)))

    return DRN()


def segformer():
    """transformers', of two stages, whose logits it leaves to the caller to interpolate."""
    from torch.nn import functional as F
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        num_encoder_blocks=2,
        hidden_sizes=(8, 16),
        depths=(1, 2),
        sr_ratios=(4, 1),
        num_attention_heads=(1, 2),
        patch_sizes=(7, 3),
        strides=(4, 2),
        mlp_ratios=(4, 4),
        decoder_hidden_size=12,
        drop_path_rate=0.0,
        num_labels=CLASSES,
    )

    class Logits(SegformerForSemanticSegmentation):
        def forward(self, images):
            found = super().forward(images).logits
            return F.interpolate(found, size=images.shape[2:], mode="bilinear", align_corners=False)

    return Logits(config)


def double(inputs, outputs, batch=True):
    """The pair of convolutions of a U-Net."""
    from collections import OrderedDict

    from torch import nn

    layers = OrderedDict()
    for i, width in ((1, inputs), (2, outputs)):
        layers[f"conv{i}"] = nn.Conv2d(width, outputs, 3, padding=1, bias=not batch)
        if batch:
            layers[f"norm{i}"] = nn.BatchNorm2d(outputs)
        layers[f"relu{i}"] = nn.ReLU()
    return nn.Sequential(layers)


def beside(skip, x):
    """x with zeros below and on the right, so that it has the size of the skip."""
    from torch.nn import functional as F

    return F.pad(x, (0, skip.shape[3] - x.shape[3], 0, skip.shape[2] - x.shape[2]))


def attention_unet():
    """Oktay et al. 2018, equations 1 and 2, of two levels, over a U-Net with BatchNorm."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Gate(nn.Module):
        def __init__(self, skipped, gating, hidden):
            super().__init__()
            self.skipped = nn.Conv2d(skipped, hidden, 1, 2, bias=False)
            self.gating, self.weight = nn.Conv2d(gating, hidden, 1), nn.Conv2d(hidden, 1, 1)

        def forward(self, x, g):
            seen = self.skipped(x)[:, :, : g.shape[2], : g.shape[3]] + self.gating(g)
            alpha = torch.sigmoid(self.weight(F.relu(seen)))
            return x * F.interpolate(alpha, size=x.shape[2:], mode="bilinear", align_corners=False)

    class AttentionUNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down0, self.down1, self.bottom = double(3, 4), double(4, 8), double(8, 16)
            self.gate0 = Gate(8, 16, 8)
            self.upsample0, self.up0 = nn.ConvTranspose2d(16, 8, 2, 2), double(16, 8)
            self.upsample1, self.up1 = nn.ConvTranspose2d(8, 4, 2, 2), double(8, 4)
            self.head = nn.Conv2d(4, CLASSES, 1)

        def forward(self, images):
            first = self.down0(images)
            second = self.down1(F.max_pool2d(first, 2))
            x = self.bottom(F.max_pool2d(second, 2))
            x = self.up0(torch.cat([self.gate0(second, x), beside(second, self.upsample0(x))], 1))
            return self.head(self.up1(torch.cat([first, beside(first, self.upsample1(x))], 1)))

    return AttentionUNet()


def unet_plus_plus():
    """Zhou et al. 2018, equation 1, of two levels with deep supervision."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class UNetPlusPlus(nn.Module):
        def __init__(self):
            super().__init__()
            one = lambda inputs, outputs: double(inputs, outputs, batch=False)
            self.node0_0, self.node1_0, self.node2_0 = one(3, 4), one(4, 8), one(8, 16)
            self.node0_1, self.node1_1, self.node0_2 = one(8, 4), one(16, 8), one(12, 4)
            self.upsample0_1, self.upsample1_1, self.upsample0_2 = (
                nn.ConvTranspose2d(inputs, inputs // 2, 2, 2) for inputs in (8, 16, 8)
            )
            self.head1, self.head2 = nn.Conv2d(4, CLASSES, 1), nn.Conv2d(4, CLASSES, 1)

        def forward(self, images):
            x00 = self.node0_0(images)
            x10 = self.node1_0(F.max_pool2d(x00, 2))
            x20 = self.node2_0(F.max_pool2d(x10, 2))
            x01 = self.node0_1(torch.cat([x00, beside(x00, self.upsample0_1(x10))], 1))
            x11 = self.node1_1(torch.cat([x10, beside(x10, self.upsample1_1(x20))], 1))
            x02 = self.node0_2(torch.cat([x00, x01, beside(x00, self.upsample0_2(x11))], 1))
            heads = self.head2(x02), self.head1(x01)
            return heads if self.training else sum(heads) / 2

    return UNetPlusPlus()


def residual_unet():
    """Zhang et al. 2018, table I, of one level."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Unit(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 3, stride, 1)
            self.norm2, self.conv2 = nn.BatchNorm2d(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride)

        def forward(self, x):
            y = F.relu(self.norm1(x))
            return self.shortcut(y) + self.conv2(F.relu(self.norm2(self.conv1(y))))

    class ResidualUNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem1, self.stem_norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.stem2, self.stem_shortcut = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(3, 4, 1)
            self.down1, self.up1, self.head = Unit(4, 8, 2), Unit(12, 4, 1), nn.Conv2d(4, CLASSES, 1)

        def forward(self, images):
            x = self.stem2(F.relu(self.stem_norm(self.stem1(images)))) + self.stem_shortcut(images)
            y = F.interpolate(self.down1(x), size=x.shape[2:], mode="bilinear", align_corners=False)
            return self.head(self.up1(torch.cat([y, x], 1)))

    return ResidualUNet()


def transunet():
    """Chen et al. 2021, figure 1, with torchvision's atrous ResNet, torch's encoder layer and one skip."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class TransUNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = dilated_resnet()
            self.embedding, self.positions = nn.Conv2d(512, 12, 1), nn.Parameter(torch.zeros(1, 3, 3, 12))
            self.block0 = nn.TransformerEncoderLayer(
                12, 3, 16, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
            )
            self.norm = nn.LayerNorm(12, eps=1e-6)
            unit = lambda inputs, outputs: nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
            )
            self.bridge, self.step1, self.step2 = unit(12, 8), nn.Sequential(unit(264, 8), unit(8, 8)), unit(8, 4)
            self.step2 = nn.Sequential(self.step2, unit(4, 4))
            self.head = nn.Conv2d(4, CLASSES, 3, padding=1)

        def forward(self, images):
            maps = self.backbone(images)
            x = self.embedding(maps["out"])
            sides = x.shape[2:]
            positions = self.positions.permute(0, 3, 1, 2)
            x = x + F.interpolate(positions, size=sides, mode="bilinear", align_corners=False)
            x = self.norm(self.block0(x.flatten(2).transpose(1, 2)))
            x = self.bridge(x.transpose(1, 2).unflatten(2, sides))
            up = lambda x, size: F.interpolate(x, size=size, mode="bilinear", align_corners=True)
            x = self.step1(torch.cat([up(x, maps["aux"].shape[2:]), maps["aux"]], 1))
            x = self.head(self.step2(up(x, [2 * n for n in x.shape[2:]])))
            return F.interpolate(x, size=images.shape[2:], mode="bilinear", align_corners=False)

    return TransUNet()


def semantic_fpn():
    """torchvision's feature pyramid over its ResNet, and the branches of Kirillov et al. 2019, section 3.1."""
    from torch import nn
    from torch.nn import functional as F
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.ops import FeaturePyramidNetwork

    class SemanticFPN(nn.Module):
        def __init__(self):
            super().__init__()
            layers = {f"layer{i}": f"{i - 1}" for i in range(1, 5)}
            self.backbone = IntermediateLayerGetter(narrow_resnet((1, 1, 1, 1), (False, False, False)), layers)
            self.pyramid = FeaturePyramidNetwork([64, 128, 256, 512], 8)
            for i in range(4):
                for k in range(max(i, 1)):
                    self.add_module(f"branch{i}_{k}", nn.Conv2d(8 if k == 0 else 4, 4, 3, padding=1, bias=False))
                    self.add_module(f"branch{i}_{k}_norm", nn.GroupNorm(2, 4))
            self.head = nn.Conv2d(4, CLASSES, 1)

        def forward(self, images):
            pyramid, total = self.pyramid(self.backbone(images)), 0
            up = lambda x, size: F.interpolate(x, size=size, mode="bilinear", align_corners=False)
            for i in range(4):
                x = pyramid[str(i)]
                for k in range(max(i, 1)):
                    x = self.get_submodule(f"branch{i}_{k}")(x)
                    x = F.relu(self.get_submodule(f"branch{i}_{k}_norm")(x))
                    x = up(x, pyramid[str(i - k - 1)].shape[2:]) if i else x
                total = total + x
            return up(self.head(total), images.shape[2:])

    return SemanticFPN()


# name -> (network, side of its images, its maps: ours -> the module that gives them in torch).
BACKBONE = {"stage1": "backbone.layer1", "stage3": "backbone.layer3", "stage4": "backbone.layer4"}
DRN = {"stage2": "layer2", "stage4": "layer4"}
NETWORKS = {
    "fcn_dilated": (fcn_dilated, 33, BACKBONE),
    "deeplab_v3": (deeplab_v3, 33, BACKBONE),
    "pspnet": (pspnet, 33, BACKBONE),
    "fcn8s": (fcn8s, 39, {}),
    "segnet": (segnet, 21, {"stage1": "down1_1", "stage2": "down2_2", "up1": "up2_2", "up2": "up1_0"}),
    "deconvnet": (deconvnet, 21, {"bottom": "fc7", "up1": "deconv2", "up2": "deconv1"}),
    "drn_a": (lambda: drn("A", (1, 2, 2, 1), True), 33, DRN),
    "drn_c": (lambda: drn("C", (1, 1, 1, 1, 2, 1, 1, 1), False), 25, DRN),
    "segformer": (segformer, 37, {f"stage{i}": f"segformer.stages.{i - 1}" for i in (1, 2)}),
    "attention_unet": (attention_unet, 21, {"stage2": "down1", "bottom": "bottom", "up1": "up0"}),
    "unet_plus_plus": (unet_plus_plus, 21, {"stage2": "node1_0", "bottom": "node2_0", "up1": "node0_1"}),
    "residual_unet": (residual_unet, 21, {"bottom": "down1", "up1": "up1"}),
    "transunet": (transunet, 33, BACKBONE),
    "semantic_fpn": (semantic_fpn, 65, {f"p{i + 2}": f"pyramid.layer_blocks.{i}" for i in range(4)}),
    "drn_d": (lambda: drn("D", (1, 1, 1, 1, 1, 1, 2, 1), True), 25, DRN),
}


def main(names):
    for name in names or NETWORKS:
        build, side, maps = NETWORKS[name]
        record_classifier(name, build(), side, maps, batch=2)


if __name__ == "__main__":
    main(sys.argv[1:])
