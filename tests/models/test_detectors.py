"""Detectors have the published numbers of parameters, and name the maps that they lack."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.darknet import Darknet
from models.classification.resnet import ResNet
from models.classification.vgg import VGG
from models.detection.cornernet import CornerNet
from models.detection.detr import DETR
from models.detection.faster_rcnn import FasterRCNN
from models.detection.fcos import FCOS
from models.detection.fpn import FPN
from models.detection.hourglass import Hourglass
from models.detection.retinanet import RetinaNet
from models.detection.ssd import SSD, SSDVGG
from models.detection.yolo import TinyDarknet, YOLOv1, YOLOv2, YOLOv3, reorganised
from models.errors import ModelError
from models.layers.corner_pool import corner_pool
from tests.models.parity import abstract


def pyramid(top="p6p7", **fields):
    return FPN(backbone=ResNet(50, num_classes=0), top=top, **fields)


V3_TINY = (((10, 14), (23, 27), (37, 58)), ((81, 82), (135, 169), (344, 319)))

FOUR = tuple(f"stage{i}" for i in range(1, 5))

COUNTS = {
    "retinanet_torchvision": (lambda: RetinaNet(backbone=pyramid(), num_classes=91), 800, 34_068_119),
    "retinanet_80": (lambda: RetinaNet(backbone=pyramid()), 800, 33_839_924),
    "retinanet_paper": (lambda: RetinaNet(backbone=pyramid("p6p7_backbone")), 800, 37_968_692),
    "fcos": (lambda: FCOS(backbone=pyramid(), num_classes=91), 800, 32_322_720),
    "ssd300_coco": (lambda: SSD(backbone=SSDVGG(), num_classes=90), 300, 35_641_826),
    "ssd300_voc": (lambda: SSD(backbone=SSDVGG(), num_classes=20), 300, 26_285_486),
    "yolo_v1": (lambda: YOLOv1(), 448, 271_703_550),
    "yolo_v1_tiny": (lambda: YOLOv1("tiny", "batch", hidden=0), 448, 27_095_374),
    "yolo_v2_voc": (lambda: YOLOv2(backbone=Darknet("19", num_classes=0)), 416, 50_655_389),
    "yolo_v2_coco": (lambda: YOLOv2(backbone=Darknet("19", num_classes=0), num_classes=80), 416, 50_962_889),
    "yolo_v2_tiny_voc": (lambda: YOLOv2(backbone=TinyDarknet(), passthrough="", widths=(1024,)), 416, 15_861_773),
    "yolo_v2_tiny_coco": (
        lambda: YOLOv2(backbone=TinyDarknet(), passthrough="", widths=(512,), num_classes=80),
        *(416, 11_232_057),
    ),
    "yolo_v3_coco": (lambda: YOLOv3(backbone=Darknet("53", num_classes=0)), 416, 61_949_149),
    "yolo_v3_voc": (lambda: YOLOv3(backbone=Darknet("53", num_classes=0), num_classes=20), 416, 61_626_049),
    "yolo_v3_tiny": (
        lambda: YOLOv3(backbone=TinyDarknet(), width=256, anchors=V3_TINY, levels=("stage4", "stage5"), sets=(0, 1)),
        *(416, 8_852_366),
    ),
    "faster_rcnn": (lambda: FasterRCNN(backbone=pyramid("pool", levels=FOUR), num_classes=90), 256, 41_808_406),
    "faster_rcnn_voc": (lambda: FasterRCNN(backbone=pyramid("pool", levels=FOUR), num_classes=20), 256, 41_449_656),
    "mask_rcnn": (
        lambda: FasterRCNN(backbone=pyramid("pool", levels=FOUR), masks=True, num_classes=90),
        256,
        44_454_513,
    ),
    # The authors' proposals have two scores of an anchor, where one decides.
    "faster_rcnn_vgg16": (
        lambda: FasterRCNN(
            backbone=VGG("D", hidden=(), num_classes=0),
            levels=("stage5",),
            sizes=((128, 256, 512),),
            pooling="pool",
            hidden=4096,
            num_classes=20,
        ),
        *(256, 137_078_239 - 9 * 513),
    ),
    # The authors' 41,302,368 leave out what is frozen: 53,120 of normalisation, 222,400 of the first two stages.
    "detr": (lambda: DETR(backbone=ResNet(50, num_classes=0), num_classes=91), 256, 41_302_368 + 53_120 + 222_400),
    "cornernet": (lambda: CornerNet(backbone=Hourglass()), 256, 201_035_212),
}


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_the_published_ones(name):
    make, side, expected = COUNTS[name]
    assert count(abstract(make(), jnp.zeros((1, side, side, 3)), train=False)["params"]) == expected


def test_retinanet_has_the_published_number_of_anchors():
    outputs, _ = jax.eval_shape(
        lambda: RetinaNet(backbone=pyramid()).init_with_output(
            jax.random.key(0), jnp.zeros((1, 800, 800, 3)), train=False
        )
    )
    assert sum(len(anchors) for anchors in outputs["anchors"]) == 120_087


@pytest.mark.parametrize(("variant", "boxes"), [("300", 8_732), ("512", 24_564)])
def test_ssd_has_the_published_number_of_default_boxes(variant, boxes):
    more = dict(scales=(*[0.1] * 8,), ratios=((2,), *((2, 3),) * 4, (2,), (2,)), steps=()) if variant == "512" else {}
    network = SSD(backbone=SSDVGG(variant), **more)
    image = jnp.zeros((1, int(variant), int(variant), 3))
    outputs, _ = jax.eval_shape(lambda: network.init_with_output(jax.random.key(0), image, train=False))
    assert sum(len(anchors) for anchors in outputs["anchors"]) == boxes


def test_a_pyramid_has_the_published_parts_and_names_its_strides():
    image = jnp.zeros((1, 256, 320, 3))
    for top, names in (("pool", "23456"), ("none", "2345")):
        network = pyramid(top, levels=FOUR)
        maps, variables = jax.eval_shape(lambda n=network: n.init_with_output(jax.random.key(0), image, train=False))
        assert {name: x.shape[1:3] for name, x in maps.items()} == {
            f"p{i}": (-(-256 // 2 ** int(i)), -(-320 // 2 ** int(i))) for i in names
        }
        own = {name: leaf for name, leaf in variables["params"].items() if name != "backbone"}
        assert count(own) == 3_344_384 and count(variables["params"]["backbone"]) == 23_508_032


def test_sizes_and_maps_that_differ_in_number_are_an_error():
    network = RetinaNet(backbone=pyramid("none"))
    with pytest.raises(ModelError, match=r"the backbone has 3 maps \(p3, p4, p5\), and there are sizes for 5"):
        abstract(network, jnp.zeros((1, 64, 64, 3)), train=False)
    with pytest.raises(ModelError, match="levels='p8' is not one of 'p3', 'p4', 'p5'"):
        abstract(network.clone(levels=("p8",)), jnp.zeros((1, 64, 64, 3)), train=False)


YOLOS = {
    "v2": lambda: YOLOv2(backbone=Darknet("19", num_classes=0)),
    "v2_alone": lambda: YOLOv2(backbone=TinyDarknet(), passthrough="", widths=(8,)),
    "v3": lambda: YOLOv3(backbone=Darknet("53", num_classes=0)),
}


@pytest.mark.parametrize("size", [(300, 320), (320, 300), (297, 297)])
@pytest.mark.parametrize("name", YOLOS)
def test_cells_that_do_not_cover_the_image_are_an_error(name, size):
    with pytest.raises(ModelError, match=rf"an image of {size[0]}×{size[1]} pixels, .*: take multiples of 32"):
        abstract(YOLOS[name](), jnp.zeros((1, *size, 3)), train=False)


def test_reorganised_maps_are_those_of_darknet():
    """Its loop over the memory: out[k, j, i] of the layer's input shape takes a pixel of maps of twice the size."""
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 8)).astype(np.float32)
    memory = x[0].transpose(2, 0, 1)  # [C, H, W]
    wide, out = memory.reshape(2, 8, 12), np.zeros_like(memory)
    for k, j, i in np.ndindex(memory.shape):
        out[k, j, i] = wide[k % 2, 2 * j + k // 2 // 2, 2 * i + k // 2 % 2]
    np.testing.assert_array_equal(reorganised(jnp.asarray(x))[0], out.reshape(32, 2, 3).transpose(1, 2, 0))


def test_a_corner_sees_the_sides_of_its_box():
    """Of a box from (1, 1) to (3, 2), marked on its top and left, and on its bottom and right."""
    rows, columns = np.zeros((2, 1, 4, 5, 1), np.float32)
    rows[0, 1, 3], columns[0, 2, 1] = 2, 3  # the top reaches to column 3, the left side to row 2
    pooled = corner_pool(jnp.asarray(rows), jnp.asarray(columns), "top_left")[0, ..., 0]
    assert pooled[1, 1] == 5 == pooled.max() and pooled[1, 2] == 2 and pooled[2, 1] == 3 and pooled[2, 2] == 0
    rows, columns = np.zeros((2, 1, 4, 5, 1), np.float32)
    rows[0, 2, 1], columns[0, 1, 3] = 2, 3
    pooled = corner_pool(jnp.asarray(rows), jnp.asarray(columns), "bottom_right")[0, ..., 0]
    assert pooled[2, 3] == 5 == pooled.max() and pooled[2, 2] == 2 and pooled[1, 3] == 3 and pooled[1, 2] == 0
