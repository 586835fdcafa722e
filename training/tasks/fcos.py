"""Detection by points (FCOS: Tian et al. 2019).

A point answers for the smallest object whose size suits its map and whose centre is near. With d = (l, t, r, b) the
distances from a point to the sides of its object, P the points that answer for one, and p, b, c the probabilities of
the classes, the box and the centre-ness that the network gives, the sums over the points of an image are

    ℓ_class  = Σ focal(p)                                              equation 2, with Lin et al. 2017
    ℓ_box    = Σ_P 1 − GIoU(b, b*)
    ℓ_centre = Σ_P cross-entropy of c and √(min(l,r)/max(l,r) · min(t,b)/max(t,b))     equation 3

over the number of points that answer, with 1 for an image without any. The score of a class is √(p · c).
"""

from collections.abc import Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import boxes
from training.detection import coders, matchers
from training.detection.detector import Truth, detector
from training.detection.suppression import answer, surest
from training.losses import sigmoid_cross_entropy, sigmoid_focal
from training.task import Task

SUITS = 4, 8  # the farthest side of an object lies between 4 and 8 strides from the points of a map


def fcos(
    networks: dict[str, nn.Module],
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    radius: float = 1.5,
    score: float = 0.2,
    overlap: float = 0.6,
    candidates: int = 1000,
    max_detections: int = 100,
) -> Task:
    """See training/detection/detector.py; the network gives logits, codes, centreness and anchors of each map.

    Args:
      alpha, gamma: of the focal loss.
      radius: how near the centre of an object a point must be, in strides.
      score: the least score of an answer.
      overlap: the IoU above which a box gives way to a surer one of its class.
      candidates: of each map, before that.
      max_detections: M.
    """
    return detector(
        networks,
        partial(loss_of_one, radius=radius),
        partial(found_of_one, score=score, overlap=overlap, candidates=candidates, count=max_detections),
        numbers=("alpha", "gamma"),
    )


def limits_of(anchors: tuple[jax.Array, ...]) -> jax.Array:
    """[A, 2]: between which distances the farthest side of an object must be, for the points of all maps in a row."""
    last = len(anchors) - 1
    limits = []
    for level, squares in enumerate(anchors):
        side = squares[:, 2] - squares[:, 0]
        lower = SUITS[0] * side if level else 0 * side
        upper = SUITS[1] * side if level < last else jnp.full_like(side, jnp.inf)
        limits.append(jnp.stack([lower, upper], 1))
    return jnp.concatenate(limits)


def loss_of_one(outputs: Mapping, truth: Truth, size, numbers, key, *, radius) -> tuple[dict, jax.Array]:
    """({ℓ_class, ℓ_box, ℓ_centre}, number of points that answer) of one image."""
    names = "logits", "codes", "centreness", "anchors"
    logits, codes, centreness, anchors = (jnp.concatenate(outputs[name]) for name in names)
    match = matchers.by_centre(truth.boxes, truth.there, anchors, limits_of(outputs["anchors"]), radius)
    answers, own = match >= 0, truth.boxes[match]
    targets = jax.nn.one_hot(jnp.where(answers, truth.labels[match], -1), logits.shape[1], dtype=logits.dtype)
    distances = jnp.where(answers[:, None], coders.encode_distances(own, anchors), 1)
    across = jnp.minimum(distances[:, :2], distances[:, 2:]) / jnp.maximum(distances[:, :2], distances[:, 2:])
    central = jnp.sqrt(across.prod(1))
    overlap = boxes.generalised_iou(coders.decode_distances(codes, anchors), own)
    return {
        "class": sigmoid_focal(logits, targets, numbers["alpha"], numbers["gamma"]).sum(),
        "box": jnp.where(answers, 1 - overlap, 0).sum(),
        "centre": jnp.where(answers, sigmoid_cross_entropy(centreness, central), 0).sum(),
    }, jnp.maximum(answers.sum(), 1)


def found_of_one(outputs: Mapping, size: tuple[int, int], *, score, overlap, candidates, count):
    """(boxes [count, 4], labels, scores) of one image: the surest of each map, then suppression within classes."""
    found = []
    for logits, codes, centreness, anchors in zip(
        *(outputs[name] for name in ("logits", "codes", "centreness", "anchors")), strict=True
    ):
        p = jnp.sqrt(jax.nn.sigmoid(logits) * jax.nn.sigmoid(centreness)[:, None])
        scores, places = surest(p, score, candidates)
        anchor, label = jnp.divmod(places, logits.shape[1])
        found.append((boxes.clip(coders.decode_distances(codes[anchor], anchors[anchor]), *size), label, scores))
    return answer(*(jnp.concatenate(each) for each in zip(*found, strict=True)), overlap, count)
