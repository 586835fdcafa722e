"""Each classifier against an independent implementation: logits, maps, gradients and statistics."""

import pytest

from models.classification import alexnet, vgg
from tests.models.parity import assert_classifier_parity

# Golden file -> (our network, its port).
ZOO = {
    "alexnet": (alexnet.AlexNet("torchvision", hidden=64, dropout_rate=0.0), alexnet.PORTS["torchvision"]),
    "vgg11": (vgg.VGG("A", width=8, hidden=(64, 64), dropout_rate=0.0), vgg.PORTS["torchvision_vgg11"]),
    "vgg16_bn": (
        vgg.VGG("D", norm="batch", width=8, hidden=(64, 64), dropout_rate=0.0),
        vgg.PORTS["torchvision_vgg16_bn"],
    ),
}


@pytest.mark.parametrize("file", ZOO)
def test_it_computes_what_the_reference_computes(file):
    assert_classifier_parity(file, *ZOO[file])
