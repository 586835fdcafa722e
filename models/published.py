"""What others have published of the classifiers: parameters, multiply-adds, accuracy. `fovea list models` prints it.

The suite builds every row and counts it. Reading this file imports no JAX.
"""

import dataclasses
from typing import Any

# Who publishes weights with these figures, and their licence.
LICENCES = {"torchvision": "BSD-3-Clause"}


@dataclasses.dataclass(frozen=True)
class Published:
    """A variant of a network in MODELS.

    Attributes:
      network: its name in MODELS.
      fields: those that differ from the network's own.
      resolution: side of the images in pixels.
      parameters: trainable ones, with `classes` classes.
      macs: multiply-adds of convolutions and products for one image; 0 where nobody has published them so.
      top1: accuracy in per cent on ImageNet's validation set, single crop, of these weights; 0: not published.
      weights: a key of LICENCES, or "" where there are none.
      channels: of the images.
    """

    network: str
    fields: dict[str, Any]
    resolution: int
    parameters: int
    macs: int = 0
    top1: float = 0.0
    weights: str = ""
    classes: int = 1000
    channels: int = 3


def _cifar(network: str, parameters: int, macs: int = 0, classes: int = 10, **fields: Any) -> Published:
    return Published(network, fields, 32, parameters, macs, classes=classes)


_TV = "torchvision"
_PLAIN = dict(bottleneck=False, compression=1.0)  # DenseNets without "BC"

PUBLISHED = (
    # Krizhevsky et al. 2012; the counts of the paper's network follow from its figure 2.
    Published("alexnet", {}, 227, 60_965_224, 724_406_816),
    Published("alexnet", dict(variant="single"), 227, 62_378_344, 1_135_256_096),
    Published("alexnet", dict(variant="torchvision"), 224, 61_100_840, 714_188_480, 56.52, _TV),
    # Zeiler & Fergus 2014, figure 3 and table 3
    Published("zfnet", {}, 224, 62_357_608),
    Published("alexnet", dict(variant="zfnet_wide"), 224, 107_627_624),
    # Sermanet et al. 2014, tables 1 and 3; the paper rounds to 145 and 144 millions.
    Published("overfeat", {}, 231, 145_920_872, 2_800_000_000),
    Published("overfeat", dict(variant="accurate"), 221, 144_656_488, 5_370_000_000),
    # Simonyan & Zisserman 2015
    Published("vgg", dict(variant="A"), 224, 132_863_336, 7_609_090_048, 69.02, _TV),
    Published("vgg", dict(variant="A-LRN"), 224, 132_863_336, 7_609_090_048),
    Published("vgg", dict(variant="A", norm="batch"), 224, 132_868_840, 7_609_090_048, 70.37, _TV),
    Published("vgg", dict(variant="B"), 224, 133_047_848, 11_308_466_176, 69.93, _TV),
    Published("vgg", dict(variant="B", norm="batch"), 224, 133_053_736, 11_308_466_176, 71.59, _TV),
    Published("vgg", dict(variant="C"), 224, 133_638_952),
    Published("vgg", dict(variant="D"), 224, 138_357_544, 15_470_264_320, 71.59, _TV),
    Published("vgg", dict(variant="D", norm="batch"), 224, 138_365_992, 15_470_264_320, 73.36, _TV),
    Published("vgg", dict(variant="E"), 224, 143_667_240, 19_632_062_464, 72.38, _TV),
    Published("vgg", dict(variant="E", norm="batch"), 224, 143_678_248, 19_632_062_464, 74.22, _TV),
    _cifar("vgg", 14_728_266, variant="D", norm="batch", hidden=(), grid=1),
    # Szegedy et al. 2015
    Published("googlenet", dict(auxiliary=0.0), 224, 6_998_552),
    Published("googlenet", {}, 224, 13_378_280),
    Published("googlenet", dict(variant="torchvision"), 224, 13_004_888, 1_498_376_192, 69.78, _TV),
    Published("googlenet", dict(variant="torchvision", auxiliary=0.0), 224, 6_624_904, 1_498_376_192, 69.78, _TV),
    # He et al. 2016
    Published("resnet", dict(depth=18), 224, 11_689_512, 1_814_073_344, 69.76, _TV),
    Published("resnet", dict(depth=34), 224, 21_797_672, 3_663_761_408, 73.31, _TV),
    Published("resnet", dict(depth=50), 224, 25_557_032, 4_089_184_256, 76.13, _TV),
    Published("resnet", dict(depth=101), 224, 44_549_160, 7_801_405_440, 77.37, _TV),
    Published("resnet", dict(depth=152), 224, 60_192_808, 11_513_626_624, 78.31, _TV),
    _cifar("resnet_cifar", 269_722, 40_551_040, depth=20),
    _cifar("resnet_cifar", 272_474, depth=20, shortcut="B"),
    _cifar("resnet_cifar", 274_847, depth=20, shortcut="B", reduction=16),  # Hu et al. 2018
    _cifar("resnet_cifar", 862_889, depth=56, shortcut="B", reduction=16),
    _cifar("resnet_cifar", 853_018, 125_485_696, depth=56),
    _cifar("resnet_cifar", 1_727_962, 252_887_680, depth=110),
    # LeCun et al. 1998
    Published("lenet5", {}, 28, 61_706, classes=10, channels=1),
    Published("lenet5", dict(variant="original"), 28, 60_000, classes=10, channels=1),
    # Szegedy et al. 2016
    Published("inception_v3", {}, 299, 23_834_568, 5_713_216_096, 77.29, _TV),
    # Lin et al. 2014
    _cifar("nin", 966_986),
    _cifar("nin", 984_356, classes=100),
    # Dosovitskiy et al. 2021
    Published("vit", dict(variant="Ti"), 224, 5_717_416, 1_253_700_000),
    Published("vit", dict(variant="S"), 224, 22_050_664, 4_598_900_000),
    Published("vit", dict(variant="B"), 224, 86_567_656, 17_563_828_224, 81.07, _TV),
    Published("vit", dict(variant="B", patch=32), 224, 88_224_232, 4_409_186_304, 75.91, _TV),
    Published("vit", dict(variant="L"), 224, 304_326_632, 61_554_712_576, 79.66, _TV),
    Published("vit", dict(variant="L", patch=32), 224, 306_535_400, 15_377_539_072, 76.97, _TV),
    Published("vit", dict(variant="H", patch=14), 224, 632_045_800, 167_295_000_000),
    Published("vit", dict(distilled=True), 224, 87_338_192),  # Touvron et al. 2021
    # Xie et al. 2017
    Published("resnext", {}, 224, 25_028_904, 4_230_479_872, 77.62, _TV),
    Published("resnext", dict(depth=101), 224, 44_177_704, 7_969_996_800),
    Published("resnet", dict(depth=101, groups=32, base_width=8), 224, 88_791_336, 16_414_015_488, 79.31, _TV),
    Published("resnet", dict(depth=101, groups=64, base_width=4), 224, 83_455_272, 15_460_270_080, 83.25, _TV),
    # Zagoruyko & Komodakis 2016
    Published("wide_resnet_imagenet", {}, 224, 68_883_240, 11_398_021_120, 78.47, _TV),
    Published("wide_resnet_imagenet", dict(depth=101), 224, 126_886_696, 22_753_050_624, 78.85, _TV),
    # Hu et al. 2018
    Published("se_resnet", dict(depth=18), 224, 11_779_624),
    Published("se_resnet", dict(depth=34), 224, 21_960_416),
    Published("se_resnet", {}, 224, 28_088_024, 4_091_699_200),
    Published("se_resnet", dict(version="v1"), 224, 28_088_024, 3_860_488_192),
    Published("se_resnet", dict(depth=101), 224, 49_326_872),
    Published("se_resnet", dict(depth=152), 224, 66_821_848),
    Published("se_resnet", dict(groups=32, base_width=4), 224, 27_559_896, 4_232_994_816),
    # Li et al. 2019 and the variant of timm; Zhang 2019
    Published("resnext", dict(attention="sk"), 224, 27_479_784, 4_462_710_784),
    Published("resnet", dict(attention="sk_split"), 224, 25_803_160, 4_089_422_336),
    Published("resnet", dict(blur=True), 224, 25_557_032),
    # He et al. 2016 (ECCV), Kolesnikov et al. 2020
    Published("resnet_v2", dict(depth=18), 224, 11_687_720, 1_814_073_344),
    Published("resnet_v2", dict(depth=34), 224, 21_795_880, 3_663_761_408),
    Published("resnet_v2", {}, 224, 25_549_352, 4_089_184_256),
    Published("resnet_v2", dict(depth=101), 224, 44_541_480, 7_801_405_440),
    Published("resnet_v2", dict(depth=152), 224, 60_185_128, 11_513_626_624),
    Published("resnet_v2", dict(norm="group"), 224, 25_549_352, 4_089_184_256),
    _cifar("preact_cifar", 1_727_962),
    _cifar("preact_cifar", 1_703_258, depth=164, block="bottleneck", shortcut="B"),
    _cifar("preact_cifar", 10_327_706, depth=1001, block="bottleneck", shortcut="B"),
    # Zagoruyko & Komodakis 2016
    _cifar("wide_resnet", 36_479_194, depth=28, widen=10),
    _cifar("wide_resnet", 36_536_884, depth=28, widen=10, classes=100),
    _cifar("wide_resnet", 2_748_890, depth=16, widen=4),
    _cifar("wide_resnet", 10_961_370, depth=16, widen=8),
    _cifar("wide_resnet", 17_158_106, depth=22, widen=8),
    _cifar("wide_resnet", 563_930, depth=40, widen=1),
    _cifar("wide_resnet", 2_243_546, depth=40, widen=2),
    _cifar("wide_resnet", 8_949_210, depth=40, widen=4),
    _cifar("wide_resnet", 1_467_610, depth=28, widen=2),
    # Xie et al. 2017 on CIFAR; two networks of kuangliu's pytorch-cifar
    _cifar("resnext_cifar", 34_426_698, groups=8),
    _cifar("resnext_cifar", 68_155_210, groups=16),
    _cifar("resnet", 4_774_218, depth=29, stem="pointwise", groups=32, base_width=4),
    _cifar("resnet", 11_173_962, 555_422_720, depth=18, stem="cifar"),
    # Huang et al. 2017
    Published("densenet", {}, 224, 7_978_856, 2_834_161_664, 74.43, _TV),
    Published("densenet", dict(depth=161, growth=48), 224, 28_681_000, 7_727_907_072, 77.14, _TV),
    Published("densenet", dict(depth=169), 224, 14_149_480, 3_359_843_328, 75.60, _TV),
    Published("densenet", dict(depth=201), 224, 20_013_928, 4_291_365_888, 76.90, _TV),
    _cifar("densenet_cifar", 1_019_722, depth=40, growth=12, **_PLAIN),
    _cifar("densenet_cifar", 1_060_132, depth=40, growth=12, classes=100, **_PLAIN),
    _cifar("densenet_cifar", 6_979_642, depth=100, growth=12, **_PLAIN),
    _cifar("densenet_cifar", 27_249_082, depth=100, growth=24, **_PLAIN),
    _cifar("densenet_cifar", 769_162, depth=100, growth=12),
    _cifar("densenet_cifar", 15_324_406, depth=250, growth=24),
    _cifar("densenet_cifar", 25_624_430, depth=190, growth=40),
    _cifar("densenet_cifar", 6_956_298, layers=(6, 12, 24, 16)),  # kuangliu's pytorch-cifar
    # Szegedy et al. 2017; version 1 for the 8,631 faces of VGGFace2
    Published("inception_v4", {}, 299, 42_679_816, 12_254_000_000),
    Published("inception_resnet", {}, 299, 55_843_464, 13_155_794_016),
    Published("inception_resnet", dict(variant="v1", embedding=512), 160, 27_910_327, classes=8_631),
    Published("senet", {}, 224, 115_088_984, 20_690_000_000),
    Published("densenet", dict(depth=264), 224, 33_337_704),
    # Dosovitskiy et al. 2021: with the stages of ResNet-50 it has its parameters.
    Published("hybrid_resnet", dict(blocks=(3, 4, 6, 3)), 224, 25_557_032),
    # Srinivas et al. 2021, table 10, rounds to 20.8 millions.
    Published("botnet", {}, 224, 20_852_008),
    Published("botnet", dict(last_strides=1), 224, 20_859_176),
    # Ramachandran et al. 2019, table 1, rounds to 18.0 millions.
    Published("botnet", dict(attention="halo", attended=4, heads=8, block=1, halo=3), 224, 18_018_808),
    # LeCun et al. 1998, section III.C; the paper gives LeNet-4 about 17,000, without saying which connections it lacks.
    *(
        Published("lecun98", dict(variant=variant), 28, parameters, classes=10, channels=1)
        for variant, parameters in {
            "linear": 7_850,
            "300": 238_510,
            "1000": 795_010,
            "300-100": 266_610,
            "500-150": 469_160,
            "lenet1": 2_578,
            "lenet4": 52_698,
        }.items()
    ),
    # Howard et al. 2017; the last of kuangliu's pytorch-cifar
    Published("mobilenet_v1", {}, 224, 4_231_976, 568_740_352),
    Published("mobilenet_v1", dict(width=0.75), 224, 2_585_560),
    Published("mobilenet_v1", dict(width=0.5), 224, 1_331_592),
    Published("mobilenet_v1", dict(width=0.25), 224, 470_072),
    _cifar("mobilenet_v1", 3_217_226, stem="cifar"),
    # Sandler et al. 2018; the last of kuangliu's pytorch-cifar
    Published("mobilenet_v2", {}, 224, 3_504_872, 300_774_272, 71.88, _TV),
    Published("mobilenet_v2", dict(width=0.5), 224, 1_968_680),
    Published("mobilenet_v2", dict(width=1.4), 224, 6_108_776, 582_195_824),
    _cifar("mobilenet_v2", 2_296_922, stem="cifar"),
    # Howard et al. 2019
    Published("mobilenet_v3", {}, 224, 5_483_032, 216_589_760, 74.04, _TV),
    Published("mobilenet_v3", dict(variant="small"), 224, 2_542_856, 56_510_400, 67.67, _TV),
    # Tan & Le 2019
    Published("efficientnet", {}, 224, 5_288_548, 385_814_752, 77.69, _TV),
    Published("efficientnet", dict(variant="B1"), 240, 7_794_184, 686_802_832, 78.64, _TV),
    Published("efficientnet", dict(variant="B2"), 288, 9_109_994, 1_087_529_456, 80.61, _TV),
    Published("efficientnet", dict(variant="B3"), 300, 12_233_232, 1_827_141_392, 82.01, _TV),
    Published("efficientnet", dict(variant="B4"), 380, 19_341_616, 4_393_771_024, 83.38, _TV),
    Published("efficientnet", dict(variant="B5"), 456, 30_389_784, 10_266_384_752, 83.44, _TV),
    Published("efficientnet", dict(variant="B6"), 528, 43_040_704, 19_067_593_536, 84.01, _TV),
    Published("efficientnet", dict(variant="B7"), 600, 66_347_960, 37_745_884_192, 84.12, _TV),
    # Iandola et al. 2016
    Published("squeezenet", {}, 224, 1_248_424, 818_924_576, 58.09, _TV),
    Published("squeezenet", dict(variant="1.1"), 224, 1_235_496, 349_151_936, 58.18, _TV),
    # Ma et al. 2018
    Published("shufflenet_v2", dict(variant="x0.5"), 224, 1_366_792, 40_476_448, 60.55, _TV),
    Published("shufflenet_v2", {}, 224, 2_278_604, 144_907_992, 69.36, _TV),
    Published("shufflenet_v2", dict(variant="x1.5"), 224, 3_503_624, 295_759_392, 73.0, _TV),
    Published("shufflenet_v2", dict(variant="x2.0"), 224, 7_393_996, 583_253_464, 76.23, _TV),
    # Liu et al. 2022
    Published("convnext", {}, 224, 28_589_128, 4_455_531_264, 82.52, _TV),
    Published("convnext", dict(variant="S"), 224, 50_223_688, 8_683_712_256, 83.62, _TV),
    Published("convnext", dict(variant="B"), 224, 88_591_464, 15_354_729_472, 84.06, _TV),
    Published("convnext", dict(variant="L"), 224, 197_767_336, 34_361_433_600, 84.41, _TV),
    # Radosavovic et al. 2020
    Published("regnet", {}, 224, 5_495_976, 414_000_000, 72.83, _TV),
    Published("regnet", dict(variant="X-800MF"), 224, 7_259_656, 800_000_000, 75.21, _TV),
    Published("regnet", dict(variant="X-1.6GF"), 224, 9_190_136, 1_603_000_000, 77.04, _TV),
    Published("regnet", dict(variant="X-3.2GF"), 224, 15_296_552, 3_177_000_000, 78.36, _TV),
    Published("regnet", dict(variant="X-8GF"), 224, 39_572_648, 7_995_000_000, 79.34, _TV),
    Published("regnet", dict(variant="X-16GF"), 224, 54_278_536, 15_941_000_000, 80.06, _TV),
    Published("regnet", dict(variant="X-32GF"), 224, 107_811_560, 31_736_000_000, 80.62, _TV),
    Published("regnet", dict(variant="Y-400MF"), 224, 4_344_144, 402_000_000, 74.05, _TV),
    Published("regnet", dict(variant="Y-800MF"), 224, 6_432_512, 834_000_000, 76.42, _TV),
    Published("regnet", dict(variant="Y-1.6GF"), 224, 11_202_430, 1_612_000_000, 77.95, _TV),
    Published("regnet", dict(variant="Y-3.2GF"), 224, 19_436_338, 3_176_000_000, 78.95, _TV),
    Published("regnet", dict(variant="Y-8GF"), 224, 39_381_472, 8_473_000_000, 80.03, _TV),
    Published("regnet", dict(variant="Y-16GF"), 224, 83_590_140, 15_912_000_000, 80.42, _TV),
    Published("regnet", dict(variant="Y-32GF"), 224, 145_046_770, 32_280_000_000, 80.88, _TV),
    # Redmon & Farhadi 2017, 2018
    Published("darknet", dict(variant="19"), 256, 20_842_376, 3_645_000_000),
    Published("darknet", {}, 256, 41_609_928, 9_285_000_000),
    # Chollet 2017
    Published("xception", {}, 299, 22_855_952),
    # Tolstikhin et al. 2021
    Published("mixer", dict(variant="S", patch=32), 224, 19_104_624),
    Published("mixer", dict(variant="S"), 224, 18_528_264),
    Published("mixer", {}, 224, 59_880_472),
    Published("mixer", dict(variant="L"), 224, 208_196_168),
    # Liu et al. 2021
    Published("swin", {}, 224, 28_288_354, 4_490_566_656, 81.47, _TV),
    Published("swin", dict(variant="S"), 224, 49_606_258, 8_740_875_264, 83.2, _TV),
    Published("swin", dict(variant="B"), 224, 87_768_224, 15_430_946_816, 83.58, _TV),
    # Yu et al. 2017: the authors' code. Their C-58 has 1,049,600 parameters more, of a shortcut that nothing adds.
    Published("drn", dict(variant="A-50"), 224, 25_557_032, 19_080_000_000),
    Published("drn", dict(variant="C-26"), 224, 21_126_584),
    Published("drn", dict(variant="C-42"), 224, 31_234_744),
    Published("drn", dict(variant="C-58"), 224, 41_591_608 - 1_049_600),
    Published("drn", dict(variant="D-22"), 224, 16_393_752),
    Published("drn", dict(variant="D-38"), 224, 26_501_912),
    Published("drn", dict(variant="D-54"), 224, 35_809_176),
    Published("drn", dict(variant="D-105"), 224, 54_801_304),
)
