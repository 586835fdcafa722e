"""Detection with dense anchors (RetinaNet: Lin et al. 2017, "Focal Loss for Dense Object Detection").

An anchor whose IoU with an object is 0.5 or more, or that is an object's best, answers for it; from 0.4 to 0.5 it is
left out; otherwise it is background. With p the probabilities of the classes, t the codes of the box (equations 6 to 9
of Girshick et al. 2014) and P the anchors that answer for an object, the loss of an image is

    ℓ_class = Σ_anchors Σ_k −α_t (1 − p_t)^γ log p_t / max(|P|, 1)          equation 5, section 4.1
    ℓ_box   = Σ_P |t − t*|₁ / max(|P|, 1)
"""

from collections.abc import Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import boxes
from training.detection import coders, losses, matchers
from training.detection.detector import Truth, detector
from training.detection.suppression import answer, surest
from training.losses import sigmoid_focal
from training.task import Task


def retinanet(
    networks: dict[str, nn.Module],
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    positive: float = 0.5,
    negative: float = 0.4,
    beta: float = 0.0,
    score: float = 0.05,
    overlap: float = 0.5,
    candidates: int = 1000,
    max_detections: int = 100,
) -> Task:
    """See training/detection/detector.py; the network gives logits [B, A, K], codes [B, A, 4] and anchors [A, 4].

    Each of the three is a tuple with an array for each map.

    Args:
      alpha, gamma: α and γ.
      positive, negative: the two limits of IoU.
      beta: where smooth-L1 becomes linear; 0: L1. Detectron: 0.11.
      score: the least score of an answer.
      overlap: the IoU above which a box gives way to a surer one of its class.
      candidates: of each map, before that.
      max_detections: M.
    """
    return detector(
        networks,
        partial(loss_of_one, positive=positive, negative=negative, beta=beta),
        partial(found_of_one, score=score, overlap=overlap, candidates=candidates, count=max_detections),
        numbers=("alpha", "gamma"),
    )


def loss_of_one(
    outputs: Mapping, truth: Truth, size, numbers, key, *, positive, negative, beta
) -> tuple[dict, jax.Array]:
    """({ℓ_class, ℓ_box}, 1) of one image."""
    logits, codes, anchors = (jnp.concatenate(outputs[name]) for name in ("logits", "codes", "anchors"))
    overlaps = boxes.iou(truth.boxes[:, None], anchors)
    match = matchers.by_overlap(overlaps, truth.there, positive, negative, low_quality=True)
    answers = match >= 0
    targets = jax.nn.one_hot(jnp.where(answers, truth.labels[match], -1), logits.shape[1], dtype=logits.dtype)
    of_classes = sigmoid_focal(logits, targets, numbers["alpha"], numbers["gamma"]).sum(1)
    of_boxes = losses.smooth_l1(codes - coders.encode(truth.boxes[match], anchors), beta).sum(1)
    count = jnp.maximum(answers.sum(), 1)
    return {
        "class": jnp.where(match == matchers.BETWEEN, 0, of_classes).sum() / count,
        "box": jnp.where(answers, of_boxes, 0).sum() / count,
    }, jnp.ones(())


def found_of_one(outputs: Mapping, size: tuple[int, int], *, score, overlap, candidates, count):
    """(boxes [count, 4], labels, scores) of one image: the surest of each map, then suppression within classes."""
    found = []
    for logits, codes, anchors in zip(outputs["logits"], outputs["codes"], outputs["anchors"], strict=True):
        scores, places = surest(jax.nn.sigmoid(logits), score, candidates)
        anchor, label = jnp.divmod(places, logits.shape[1])
        found.append((boxes.clip(coders.decode(codes[anchor], anchors[anchor]), *size), label, scores))
    return answer(*(jnp.concatenate(each) for each in zip(*found, strict=True)), overlap, count)
