"""Each classifier against an independent implementation: logits, maps, gradients and statistics."""

import pytest

from models.classification import (
    alexnet,
    botnet,
    convnext,
    darknet,
    densenet,
    efficientnet,
    googlenet,
    hybrid_resnet,
    inception_resnet,
    inception_v4,
    mixer,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    preact_cifar,
    regnet,
    resnet,
    resnet_v2,
    senet,
    shufflenet_v2,
    squeezenet,
    swin,
    vgg,
    vit,
    xception,
)
from models.port import Port
from tests.models.parity import NAMED_AS_OURS, assert_classifier_parity

SMALL_VIT = dict(width=24, depth=2, heads=3, mlp=48, patch=8)
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

HALO = Port(
    {
        r"/attention/query/": "/self_attn/q/",
        r"/attention/(key|value)/": r"/self_attn/kv/\1/",
        **botnet.PORTS["timm"].names,
        "pos_embed/(.*_rel)": r"pos_embed/parametrizations/\1/original",
    }
)
# The conventions of torch.
SYMMETRIC = dict(padding="symmetric", epsilon=1e-5, momentum=0.9)

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
    "se_resnext": (resnet.ResNet(14, groups=4, base_width=4, attention="se"), resnet.PORTS["timm"]),
    "cbam_resnet_blur": (resnet.ResNet(14, attention="cbam", blur=True), resnet.PORTS["timm"]),
    "sk_resnext": (resnet.ResNet(14, groups=4, base_width=4, attention="sk"), resnet.PORTS["timm_sk"]),
    "sk_resnet": (resnet.ResNet(14, attention="sk_split"), resnet.PORTS["timm_sk"]),
    "non_local_resnet18": (resnet.ResNet(18, attention="non_local"), NON_LOCAL),
    "resnetv2": (resnet_v2.ResNetV2(14, width=16), resnet_v2.PORTS["timm"]),
    "resnetv2_bit": (resnet_v2.ResNetV2(14, norm="group", width=32), resnet_v2.PORTS["timm"]),
    "preact14": (preact_cifar.CifarPreActResNet(14), preact_cifar.PORTS["xternalz"]),
    "preact20_bottleneck": (
        preact_cifar.CifarPreActResNet(20, "bottleneck", "B"),
        preact_cifar.PORTS["xternalz"],
    ),
    "resnext29": (
        resnet.ResNet(29, stem="cifar", groups=2, base_width=4),
        resnet.PORTS["torchvision"],
    ),
    "densenet": (densenet.DenseNet(layers=(2, 2, 2, 2), growth=8), densenet.PORTS["torchvision"]),
    "densenet_cifar": (
        densenet.DenseNet("cifar", 10, growth=12, bottleneck=False, compression=1.0),
        densenet.PORTS["torchvision"],
    ),
    "inception_v4": (inception_v4.InceptionV4((1, 1, 1), 1 / 8, dropout_rate=0.0), inception_v4.PORTS["timm"]),
    "inception_resnet_v2": (
        inception_resnet.InceptionResNet(blocks=(1, 1, 1), width=1 / 8, dropout_rate=0.0),
        inception_resnet.PORTS["timm"],
    ),
    "inception_resnet_v1": (
        inception_resnet.InceptionResNet("v1", (1, 1, 1), 64, 1 / 8, dropout_rate=0.0),
        inception_resnet.PORTS["facenet_pytorch"],
    ),
    "senet": (senet.SENet((1, 1, 1, 1), 8, 4, 0.0), senet.PORTS["timm"]),
    "wide_resnet": (preact_cifar.WideResNet(16, widen=2), preact_cifar.PORTS["xternalz"]),
    "botnet": (botnet.BoTNet(14, width=16), botnet.PORTS["timm"]),
    "halonet": (botnet.BoTNet(14, "halo", block=2, halo=1, masked=False, width=16), HALO),
    "vit_hybrid": (
        vit.ViT(
            **{**SMALL_VIT, "patch": 1},
            backbone=hybrid_resnet.HybridResNet((1, 1, 1), width=32, num_classes=0),
        ),
        vit.PORTS["timm"],
    ),
    "mobilenet_v1": (
        mobilenet_v1.MobileNetV1(0.25, (1, 1, 1, 2, 1), dropout_rate=0.0, **SYMMETRIC),
        mobilenet_v1.PORTS["timm"],
    ),
    "mobilenet_v2": (
        mobilenet_v2.MobileNetV2(0.25, (1, 2, 1, 1, 1, 1, 1), dropout_rate=0.0, **SYMMETRIC),
        mobilenet_v2.torchvision(8),
    ),
    "mobilenet_v3_small": (
        mobilenet_v3.MobileNetV3("small", 0.25, "symmetric", dropout_rate=0.0),
        mobilenet_v3.PORTS["torchvision_small"],
    ),
    "efficientnet": (
        efficientnet.EfficientNet(width=0.25, depth=0.3, padding="symmetric", dropout_rate=0.0, stochastic_depth=0.0),
        efficientnet.PORTS["torchvision"],
    ),
    "squeezenet1_1": (squeezenet.SqueezeNet("1.1", dropout_rate=0.0), squeezenet.PORTS["torchvision_1_1"]),
    "shufflenet_v2": (
        shufflenet_v2.ShuffleNetV2(depths=(2, 2, 1), channels=(16, 32, 64, 48)),
        shufflenet_v2.PORTS["torchvision"],
    ),
    "convnext": (
        convnext.ConvNeXt(widths=(8, 16, 24, 32), depths=(1, 1, 2, 1), stochastic_depth=0.0),
        convnext.PORTS["timm"],
    ),
    "regnet_y": (
        regnet.RegNet("Y-400MF", depth=4, initial=16, slope=16.0, step=2.0, group=8),
        regnet.PORTS["torchvision"],
    ),
    "darknet53": (
        darknet.Darknet(width=4, depths=(1, 1, 1, 1, 2), slope=0.01, momentum=0.9),
        darknet.PORTS["timm"],
    ),
    "xception": (xception.Xception(0.125, 1, "symmetric", dropout_rate=0.0), NAMED_AS_OURS),
    "mixer": (mixer.Mixer(width=24, depth=2, tokens=12, channels=96, patch=8), mixer.PORTS["timm"]),
    "swin": (
        swin.Swin(patch=2, window=4, width=8, depths=(2, 2, 2), heads=(1, 2, 4), stochastic_depth=0.0),
        swin.PORTS["torchvision"],
    ),
}


@pytest.mark.parametrize("file", ZOO)
def test_it_computes_what_the_reference_computes(file):
    assert_classifier_parity(file, *ZOO[file])
