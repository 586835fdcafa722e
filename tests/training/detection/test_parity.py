"""Each detector against that of torchvision or transformers: heads, losses, their gradients, and final boxes."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification.resnet import ResNet
from models.detection import detr as detr_network
from models.detection import faster_rcnn as rcnn_network
from models.detection import fcos as fcos_network
from models.detection import retinanet as retinanet_network
from models.detection import ssd as ssd_network
from models.detection.fpn import FPN
from models.port import Port, from_torch, to_torch
from tests.goldens.make_classification import seeded_images, seeded_weights
from tests.goldens.make_detectors import CLASSES, OBJECTS, ROIS, SIZE, WIDTH, instances
from tests.goldens.record import digest, direction
from tests.models.parity import abstract, golden, golden_shapes, quickly
from training.tasks.detr import detr
from training.tasks.faster_rcnn import faster_rcnn
from training.tasks.fcos import fcos
from training.tasks.retinanet import retinanet
from training.tasks.ssd import ssd

BODY = ResNet(14, num_classes=0, param_dtype=jnp.float64)
PYRAMID = FPN(backbone=BODY, width=WIDTH, top="p6p7", param_dtype=jnp.float64)


@dataclasses.dataclass(frozen=True)
class Reference:
    """How a detector of torchvision compares with ours.

    Attributes:
      network, port: ours, and the names of torchvision's weights.
      task: its constructor, with the options that the golden has.
      outputs: our output -> theirs.
      losses: our term of the loss -> theirs.
      numbers: those of the task.
      first: torchvision's number of our class 0.
      objects, size: of the images, where they are not those of the other detectors.
    """

    network: nn.Module
    port: Port
    task: Callable
    outputs: Mapping[str, str]
    losses: Mapping[str, str]
    numbers: Mapping[str, float]
    first: int = 0
    objects: tuple = OBJECTS
    size: tuple[int, int] = SIZE


DETECTORS = {
    "retinanet": Reference(
        retinanet_network.RetinaNet(backbone=PYRAMID, sizes=(16, 24, 48, 64, 96)),
        retinanet_network.PORTS["torchvision"],
        partial(retinanet, max_detections=50),
        {"logits": "cls_logits", "codes": "bbox_regression"},
        {"class": "classification", "box": "bbox_regression"},
        dict(alpha=0.25, gamma=2.0),
    ),
    "fcos": Reference(
        fcos_network.FCOS(backbone=PYRAMID, sizes=(4, 8, 16, 24, 32)),
        fcos_network.PORTS["torchvision"],
        partial(fcos, max_detections=50),
        {"logits": "cls_logits", "codes": "bbox_regression", "centreness": "bbox_ctrness"},
        {"class": "classification", "box": "bbox_regression", "centre": "bbox_ctrness"},
        dict(alpha=0.25, gamma=2.0),
    ),
    "ssd300": Reference(
        ssd_network.SSD(backbone=ssd_network.SSDVGG(param_dtype=jnp.float64)),
        ssd_network.PORTS["torchvision"],
        partial(ssd, max_detections=50, score=0.3),
        {"logits": "cls_logits", "codes": "bbox_regression"},
        {"class": "classification", "box": "bbox_regression"},
        dict(alpha=1.0),
        first=1,
        objects=OBJECTS[:1],
        size=(300, 300),
    ),
    "mask_rcnn": Reference(
        rcnn_network.FasterRCNN(
            backbone=PYRAMID.clone(levels=("stage1", "stage2", "stage3", "stage4"), top="pool"),
            sizes=((12,), (16,), (24,), (32,), (48,)),
            hidden=32,
            masks=True,
            mask_width=16,
        ),
        rcnn_network.PORTS["torchvision"],
        partial(
            faster_rcnn,
            masks=True,
            anchors=4000,
            regions=ROIS,
            **dict.fromkeys(("candidates", "test_candidates"), 60),
            **dict.fromkeys(("proposals", "test_proposals"), 40),
            max_detections=50,
        ),
        {"objectness": "objectness", "codes": "codes"},
        {
            "objectness": "loss_objectness",
            "proposal": "loss_rpn_box_reg",
            "class": "loss_classifier",
            "box": "loss_box_reg",
            "mask": "loss_mask",
        },
        dict(box_weight=1.0),
        first=1,
        objects=OBJECTS[:1],
    ),
    "detr": Reference(
        detr_network.DETR(
            backbone=BODY, queries=8, width=32, heads=4, hidden=48, encoder=2, decoder=2, dropout_rate=0.0
        ),
        detr_network.PORTS["transformers"],
        partial(detr, auxiliary=False, max_detections=8),
        {"logits": "logits", "boxes": "boxes"},
        {"class": "loss_ce", "box": "loss_bbox", "giou": "loss_giou"},
        dict(nothing=0.1, l1_weight=5.0, giou_weight=2.0),
        objects=OBJECTS[:1],
    ),
}


def batch(objects, size):
    """The images of the goldens and their objects, padded."""
    boxes, labels = np.zeros((len(objects), 5, 4)), np.full((len(objects), 5), -1)
    for i, rows in enumerate(objects):
        boxes[i, : len(rows)] = np.array(rows)[:, :4]
        labels[i, : len(rows)] = np.array(rows)[:, 4]
    images = seeded_images(len(objects), *size, 3).astype(np.float64)
    outlines = np.repeat(instances()[None], len(objects), 0)
    return {"image": images, "boxes": boxes, "labels": labels, "instances": outlines, "id": np.arange(len(objects))}


def joined(output):
    """The arrays of all maps in a row; of a decoder, the last of its layers."""
    return jnp.concatenate(output, 1) if isinstance(output, tuple) else output[:, -1]


@pytest.mark.parametrize("name", DETECTORS)
def test_it_computes_what_the_reference_computes(name):
    """In float64, with the statistics of evaluation also for the losses."""
    of, stored = DETECTORS[name], golden(name)
    given = batch(of.objects, of.size)
    network = of.network.clone(num_classes=CLASSES, param_dtype=jnp.float64)
    task = of.task({"model": Frozen(network)})
    like = abstract(network, given["image"], train=False)
    variables = from_torch(seeded_weights(golden_shapes(stored)), like, of.port)
    stats = {key: value for key, value in variables.items() if key != "params"}
    inside = {"model": {key: {"network": value} for key, value in stats.items()}}

    @quickly
    def compute(params, given):
        def loss(params):
            params, key, hyper = {"model": {"network": params}}, jax.random.key(0), {"task": of.numbers}
            value, weight, (_, terms) = task.loss("model", params, inside, given, key, {}, hyper)
            return value / weight, jax.tree.map(lambda x: x / weight, terms)

        gradients, terms = jax.grad(loss, has_aux=True)(params)
        outputs = network.apply({"params": params, **stats}, given["image"], train=False)
        found = task.predict({"model": {"network": params}}, inside, given, None, {})
        return outputs, terms, gradients, found

    outputs, terms, gradients, found = compute(variables["params"], given)
    for ours, theirs in of.outputs.items():
        digests = digest(theirs, np.asarray(joined(outputs[ours])))
        np.testing.assert_allclose(digests, stored[f"output/{theirs}"], rtol=1e-6, err_msg=ours)
    for ours, theirs in of.losses.items():
        np.testing.assert_allclose(terms[ours], stored[f"loss/{theirs}"], rtol=1e-6, err_msg=ours)

    gradients = to_torch({"params": gradients}, of.port)
    names = [str(name) for name in stored["gradient_names"]]
    ours = np.array([digest(name, gradients[name]) for name in names])
    norms = stored["gradients"][:, 0] + 1e-3 * np.median(stored["gradients"][:, 0])
    scale = np.stack([norms, norms * [np.linalg.norm(direction(name, gradients[name].shape)) for name in names]], 1)
    np.testing.assert_allclose(ours / scale, stored["gradients"] / scale, atol=1e-6)

    for i in range(len(of.objects)):
        count = len(stored[f"found/{i}/scores"])
        assert count > 0 and (np.asarray(found["found_labels"][i])[count:] == -1).all()
        for key in ("boxes", "labels", "scores"):
            ours = np.asarray(found[f"found_{key}"][i])[:count] + (of.first if key == "labels" else 0)
            np.testing.assert_allclose(ours, stored[f"found/{i}/{key}"], rtol=1e-6, atol=1e-6, err_msg=key)


class Frozen(nn.Module):
    """A network whose training uses the statistics of evaluation, as torchvision's frozen normalisation does."""

    network: nn.Module

    @property
    def num_classes(self):
        return self.network.num_classes

    @property
    def masks(self):
        return self.network.masks

    def __call__(self, x, train: bool):
        return self.network(x, False)

    def propose(self, x, train: bool):
        return self.network.propose(x, False)

    def classify(self, *arguments):
        return self.network.classify(*arguments)

    def mask(self, *arguments):
        return self.network.mask(*arguments)

    def cut(self, *arguments):
        return self.network.cut(*arguments)
