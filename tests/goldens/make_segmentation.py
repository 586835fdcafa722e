"""Reference outputs of networks that classify pixels, narrow or with few blocks. The suite reads the .npz files.

python -m tests.goldens.make_segmentation [NAME ...]    # needs torch, torchvision and transformers

Networks that no library has are written here from their papers' equations.
"""

import sys

from tests.goldens.record import record_classifier

CLASSES = 3


def dilated_resnet(blocks=(1, 1, 1, 1)):
    """torchvision's atrous ResNet of bottlenecks, of a quarter of the channels, with the layers that its heads read."""
    from torch import nn
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.resnet import Bottleneck, ResNet

    class Narrow(ResNet):
        def _make_layer(self, block, planes, *arguments, **options):
            if planes == 64:
                self.inplanes = 16
            return super()._make_layer(block, planes // 4, *arguments, **options)

    model = Narrow(Bottleneck, list(blocks), replace_stride_with_dilation=[False, True, True])
    model.conv1, model.bn1 = nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16)
    return IntermediateLayerGetter(model, {"layer4": "out", "layer3": "aux"})


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


# name -> (network, side of its images, its maps: ours -> the module that gives them in torch).
BACKBONE = {"stage1": "backbone.layer1", "stage3": "backbone.layer3", "stage4": "backbone.layer4"}
NETWORKS = {
    "fcn_dilated": (fcn_dilated, 33, BACKBONE),
    "deeplab_v3": (deeplab_v3, 33, BACKBONE),
    "pspnet": (pspnet, 33, BACKBONE),
    "fcn8s": (fcn8s, 39, {}),
}


def main(names):
    for name in names or NETWORKS:
        build, side, maps = NETWORKS[name]
        record_classifier(name, build(), side, maps, batch=2)


if __name__ == "__main__":
    main(sys.argv[1:])
