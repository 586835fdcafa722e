"""Detection with default boxes (SSD: Liu et al. 2016).

A default box answers for the object with the largest IoU of at least 0.5, and each object's best default box for that
object. With P the default boxes that answer, N their number, and H the 3N others that are least sure of nothing, the
loss of an image is

    ℓ_class = Σ_P −log p_object + Σ_H −log p_nothing      equation 3
    ℓ_box   = α Σ_P smooth-L1(t − t*)                      equation 2

over N: an image without objects has no loss. t are codes with the variances (0.1, 0.1, 0.2, 0.2).
"""

from collections.abc import Mapping
from functools import partial
from typing import Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import boxes
from training.detection import coders, losses, matchers, samplers
from training.detection.detector import Truth, detector
from training.detection.suppression import answer_by_class
from training.errors import TrainingError
from training.losses import softmax_cross_entropy
from training.task import Task

WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of the codes: the inverse of the variances


@runtime_checkable
class Named(Protocol):
    """A detector that states how many classes it names.

    Attributes:
      num_classes: K.
    """

    num_classes: int


def ssd(
    networks: dict[str, nn.Module],
    *,
    alpha: float = 1.0,
    positive: float = 0.5,
    ratio: float = 3.0,
    score: float = 0.01,
    overlap: float = 0.45,
    candidates: int = 400,
    max_detections: int = 200,
) -> Task:
    """See training/detection/detector.py; the network gives logits [B, A, 1 + K], codes and anchors of each map.

    Args:
      alpha: α.
      positive: the least IoU of a default box with its object.
      ratio: default boxes of nothing for each that answers.
      score: the least score of an answer.
      overlap: the IoU above which a box gives way to a surer one of its class.
      candidates: of each class, before that.
      max_detections: M.

    Raises TrainingError, when it is traced, for logits without the column of nothing.
    """
    model = networks["model"]
    if not isinstance(model, Named):
        raise TrainingError(f"task.name=ssd trains a detector with num_classes, not {type(model).__name__}")

    def loss(outputs, *arguments):
        columns = outputs["logits"][0].shape[-1]
        if columns != 1 + model.num_classes:
            raise TrainingError(
                f"task.name=ssd reads logits of nothing and of {model.num_classes} classes, and {type(model).__name__}"
                f" gives {columns}: take model.name=ssd"
            )
        return loss_of_one(outputs, *arguments, positive=positive, ratio=ratio)

    return detector(
        networks,
        loss,
        partial(found_of_one, score=score, overlap=overlap, candidates=candidates, count=max_detections),
        numbers=("alpha",),
    )


def loss_of_one(outputs: Mapping, truth: Truth, size, numbers, key, *, positive, ratio) -> tuple[dict, jax.Array]:
    """({ℓ_class, ℓ_box}, N) of one image."""
    logits, codes, anchors = (jnp.concatenate(outputs[name]) for name in ("logits", "codes", "anchors"))
    match = matchers.with_best(boxes.iou(truth.boxes[:, None], anchors), truth.there, positive)
    answers = match >= 0
    of_classes = softmax_cross_entropy(logits, jnp.where(answers, 1 + truth.labels[match], 0))
    counted = answers | samplers.hard_negatives(jax.lax.stop_gradient(of_classes), answers, ratio)
    of_boxes = losses.smooth_l1(codes - coders.encode(truth.boxes[match], anchors, WEIGHTS)).sum(1)
    return {
        "class": jnp.where(counted, of_classes, 0).sum(),
        "box": numbers["alpha"] * jnp.where(answers, of_boxes, 0).sum(),
    }, answers.sum()


def found_of_one(outputs: Mapping, size: tuple[int, int], *, score, overlap, candidates, count):
    """(boxes [count, 4], labels, scores) of one image: the surest of each class, and suppression within it."""
    logits, codes, anchors = (jnp.concatenate(outputs[name]) for name in ("logits", "codes", "anchors"))
    found = boxes.clip(coders.decode(codes, anchors, WEIGHTS), *size)
    return answer_by_class(found, jax.nn.softmax(logits)[:, 1:], score, candidates, overlap, count)
