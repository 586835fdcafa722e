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
    """The one of transformers with registers, of which the head reads the class token and the mean of the patches."""
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
}


def main(names):
    for name in names or ZOO:
        build, side, maps = ZOO[name]
        record_classifier(name, build(), side, maps)


if __name__ == "__main__":
    main(sys.argv[1:])
