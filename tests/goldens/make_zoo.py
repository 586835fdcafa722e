"""Reference outputs of torchvision's and timm's classifiers, narrow or with few blocks. The suite reads the .npz files.

python -m tests.goldens.make_zoo [NAME ...]    # needs torch, torchvision and timm
"""

import sys

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


RESNET = {"stem": "act1", "stage1": "layer1", "stage2": "layer2", "stage3": "layer3", "stage4": "layer4"}
RESNEXT = dict(cardinality=4, base_width=4)

# File -> (network, side of the images, our map -> their module).
ZOO = {
    "alexnet": (alexnet, 80, {"stage1": "features.1", "stage3": "features.7", "stage5": "features.11"}),
    "vgg11": (lambda: vgg("A", False), 64, {"stage1": "features.1", "stage3": "features.9", "stage5": "features.19"}),
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
    "non_local_resnet18": (non_local_resnet18, 64, RESNET | {"stem": "relu"}),
}


def main(names):
    for name in names or ZOO:
        build, side, maps = ZOO[name]
        record_classifier(name, build(), side, maps)


if __name__ == "__main__":
    main(sys.argv[1:])
