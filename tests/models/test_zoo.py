"""Each classifier against an independent implementation: logits, maps, gradients and statistics."""

import pytest

from models.classification import alexnet, resnet, vgg
from models.port import Port
from tests.models.parity import assert_classifier_parity

NON_LOCAL = Port(
    {
        **resnet.PORTS["torchvision"].names,
        r"^non_local(\d)_1/": r"layer\1/2/",
        "/theta/": "/t/",
        "/phi/": "/p/",
        "/out/": "/z/",
        "(layer./2)/bn/": r"\1/norm/",
    }
)

# Golden file -> (our network, its port).
ZOO = {
    "alexnet": (alexnet.AlexNet("torchvision", hidden=64, dropout_rate=0.0), alexnet.PORTS["torchvision"]),
    "vgg11": (vgg.VGG("A", width=8, hidden=(64, 64), dropout_rate=0.0), vgg.PORTS["torchvision_vgg11"]),
    "vgg16_bn": (
        vgg.VGG("D", norm="batch", width=8, hidden=(64, 64), dropout_rate=0.0),
        vgg.PORTS["torchvision_vgg16_bn"],
    ),
    "se_resnext": (resnet.ResNet(14, groups=4, base_width=4, attention="se"), resnet.PORTS["timm"]),
    "cbam_resnet_blur": (resnet.ResNet(14, attention="cbam", blur=True), resnet.PORTS["timm"]),
    "sk_resnext": (resnet.ResNet(14, groups=4, base_width=4, attention="sk"), resnet.PORTS["timm_sk"]),
    "sk_resnet": (resnet.ResNet(14, attention="sk_split"), resnet.PORTS["timm_sk"]),
    "non_local_resnet18": (resnet.ResNet(18, attention="non_local"), NON_LOCAL),
}


@pytest.mark.parametrize("file", ZOO)
def test_it_computes_what_the_reference_computes(file):
    assert_classifier_parity(file, *ZOO[file])
