"""Each classifier against an independent implementation: logits, maps, gradients and statistics."""

import pytest

from models.classification import alexnet, googlenet, vgg, vit
from tests.models.parity import assert_classifier_parity

SMALL_VIT = dict(width=24, depth=2, heads=3, mlp=48, patch=8)

# Golden file -> (our network, its port).
ZOO = {
    "alexnet": (alexnet.AlexNet("torchvision", hidden=64, dropout_rate=0.0), alexnet.PORTS["torchvision"]),
    "googlenet": (
        googlenet.GoogLeNet("torchvision", dropout_rate=0.0, auxiliary_dropout_rate=0.0),
        googlenet.PORTS["torchvision"],
    ),
    "vgg11": (vgg.VGG("A", width=8, hidden=(64, 64), dropout_rate=0.0), vgg.PORTS["torchvision_vgg11"]),
    "deit_distilled": (vit.ViT(**SMALL_VIT, distilled=True), vit.PORTS["timm"]),
    "dinov2_registers": (
        vit.ViT(**SMALL_VIT, registers=4, layer_scale=1e-5, pool="both"),
        vit.PORTS["transformers_dinov2"],
    ),
    "vgg16_bn": (
        vgg.VGG("D", norm="batch", width=8, hidden=(64, 64), dropout_rate=0.0),
        vgg.PORTS["torchvision_vgg16_bn"],
    ),
}


@pytest.mark.parametrize("file", ZOO)
def test_it_computes_what_the_reference_computes(file):
    assert_classifier_parity(file, *ZOO[file])
