"""Detection by cells (YOLO versions 1 to 3: Redmon et al. 2016, Redmon & Farhadi 2017 and 2018).

The cell in which the centre of an object lies answers for it.

Version 1, equation 3. Of a cell's boxes the one with the higher IoU answers. With C the confidence, which shall be that
IoU, and p the classes, once for each cell, the sum over the cells of an image is

    λ_coord Σ_answers (x − x*)² + (y − y*)² + (√w − √w*)² + (√h − √h*)²
    + Σ_answers (C − IoU)² + λ_noobj Σ_others C² + Σ_cells with an object |p − p*|²

Versions 2 and 3. A box is b_x = (σ(t_x) + c_x) · stride, b_w = p_w exp(t_w), and so on, with c the corner of the cell
and p an anchor; the anchor whose shape has the largest IoU with that of an object answers for it. Boxes that no object
has claimed, but that overlap one by more than `ignore`, are left out of the loss of the objectness. Small boxes count
more: s = 2 − w*h*, in images. Version 2 has squares and a softmax, and an objectness of the IoU; version 3 has
cross-entropies, and an objectness of 1.
"""

from collections.abc import Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import boxes
from training.detection.coders import corners
from training.detection.detector import Truth, detector
from training.detection.suppression import answer, surest
from training.losses import sigmoid_cross_entropy, softmax_cross_entropy
from training.task import Task


def yolo_v1(
    networks: dict[str, nn.Module],
    *,
    coord: float = 5.0,
    noobj: float = 0.5,
    score: float = 0.05,
    overlap: float = 0.5,
    candidates: int = 1000,
    max_detections: int = 100,
) -> Task:
    """See training/detection/detector.py; the network gives logits, confidence and boxes (models/detection/yolo.py).

    Args:
      coord, noobj: λ_coord and λ_noobj.
      score: the least score of an answer.
      overlap: the IoU above which a box gives way to a surer one of its class.
      candidates: before that.
      max_detections: M.
    """
    found = partial(found_of_cells, score=score, overlap=overlap, candidates=candidates, count=max_detections)
    return detector(networks, loss_of_cells, found, numbers=("coord", "noobj"))


def yolo_v2(
    networks: dict[str, nn.Module],
    *,
    object_weight: float = 5.0,
    ignore: float = 0.6,
    score: float = 0.005,
    overlap: float = 0.45,
    candidates: int = 1000,
    max_detections: int = 100,
) -> Task:
    """See training/detection/detector.py; the network gives codes, objectness, logits, anchors and strides.

    Args:
      object_weight: of the objectness of boxes that answer.
      ignore: see above; the rest as for yolo_v1.
    """
    found = partial(found_of_anchors, probabilities=jax.nn.softmax)
    found = partial(found, score=score, overlap=overlap, candidates=candidates, count=max_detections)
    return detector(networks, partial(loss_v2, ignore=ignore), found, numbers=("object_weight",))


def yolo_v3(
    networks: dict[str, nn.Module],
    *,
    ignore: float = 0.5,
    score: float = 0.005,
    overlap: float = 0.45,
    candidates: int = 1000,
    max_detections: int = 100,
) -> Task:
    """As yolo_v2. The authors' configuration files have ignore=0.7."""
    found = partial(found_of_anchors, probabilities=jax.nn.sigmoid)
    found = partial(found, score=score, overlap=overlap, candidates=candidates, count=max_detections)
    return detector(networks, partial(loss_v3, ignore=ignore), found)


def latest(claimed: jax.Array, there: jax.Array, count: int) -> jax.Array:
    """[count]: the last object that claims each place, −1 for none. claimed: [N] places; there: [N] bool."""
    claims = (jnp.arange(count) == claimed[:, None]) & there[:, None]
    return jnp.where(claims, jnp.arange(len(there))[:, None], -1).max(0)


def decode_cells(found: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Boxes [S, S, B, 4] of version 1 -> (x1, y1, x2, y2) in pixels of an image of `size` (H, W)."""
    rows, columns = found.shape[:2]
    corner = jnp.stack(jnp.meshgrid(jnp.arange(columns), jnp.arange(rows)), -1)[:, :, None]
    image = jnp.array([size[1], size[0]], found.dtype)
    centres = (found[..., :2] + corner) / jnp.array([columns, rows]) * image
    return corners(centres, found[..., 2:] ** 2 * image)


def loss_of_cells(outputs: Mapping, truth: Truth, size, numbers, key) -> tuple[dict, jax.Array]:
    """The terms of version 1, and the weight 1."""
    rows, columns, count = outputs["confidence"].shape
    image = jnp.array([size[1], size[0]], outputs["boxes"].dtype)
    grid = jnp.array([columns, rows])
    centres = (truth.boxes[:, :2] + truth.boxes[:, 2:]) / 2 / image * grid
    places = jnp.clip(jnp.floor(centres), 0, grid - 1).astype(jnp.int32)
    match = latest(places[:, 1] * columns + places[:, 0], truth.there, rows * columns)  # [S²]
    full, own = match >= 0, truth.boxes[match]

    found = outputs["boxes"].reshape(-1, count, 4)
    overlaps = boxes.iou(decode_cells(outputs["boxes"], size).reshape(-1, count, 4), own[:, None])
    overlaps = jax.lax.stop_gradient(overlaps)
    answers = full[:, None] & (jnp.arange(count) == overlaps.argmax(1)[:, None])  # [S², B]
    offset = centres[match] - places[match]
    side = jnp.sqrt(jnp.maximum(own[:, 2:] - own[:, :2], 0) / image)
    target = jnp.concatenate([offset, side], 1)[:, None]
    confidence = outputs["confidence"].reshape(-1, count)
    classes = jax.nn.one_hot(truth.labels[match], outputs["logits"].shape[-1], dtype=found.dtype)
    of_classes = ((outputs["logits"].reshape(rows * columns, -1) - classes) ** 2).sum(1)
    return {
        "box": numbers["coord"] * jnp.where(answers[..., None], (found - target) ** 2, 0).sum(),
        "object": jnp.where(answers, (confidence - overlaps) ** 2, 0).sum(),
        "nothing": numbers["noobj"] * jnp.where(answers, 0, confidence**2).sum(),
        "class": jnp.where(full, of_classes, 0).sum(),
    }, jnp.ones(())


def found_of_cells(outputs: Mapping, size: tuple[int, int], *, score, overlap, candidates, count):
    """(boxes [count, 4], labels, scores) of version 1: the confidence times the probability of a class."""
    p = outputs["logits"][:, :, None] * outputs["confidence"][..., None]  # [S, S, B, K]
    scores, places = surest(jnp.clip(p, 0, 1).reshape(-1, p.shape[-1]), score, candidates)
    row, labels = jnp.divmod(places, p.shape[-1])
    found = decode_cells(outputs["boxes"], size).reshape(-1, 4)[row]
    return answer(boxes.clip(found, *size), labels, scores, overlap, count)


def decode(codes: jax.Array, anchors: jax.Array, strides: jax.Array) -> jax.Array:
    """Boxes [A, 4] in pixels of codes [A, 4] about anchors [A, 4] in the middle of their cells, at strides [A]."""
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2 + (jax.nn.sigmoid(codes[:, :2]) - 0.5) * strides[:, None]
    return corners(centres, jnp.exp(codes[:, 2:]) * (anchors[:, 2:] - anchors[:, :2]))


def claims(truth: Truth, anchors: jax.Array, strides: jax.Array) -> jax.Array:
    """[A]: the object that each anchor answers for, or −1.

    Of the anchors whose cells hold the centre of an object, the one whose shape has the largest IoU with it.
    """
    centres, sides = (truth.boxes[:, :2] + truth.boxes[:, 2:]) / 2, truth.boxes[:, 2:] - truth.boxes[:, :2]
    own = (anchors[:, :2] + anchors[:, 2:]) / 2
    inside = jnp.floor(centres[:, None] / strides[:, None]) == jnp.floor(own / strides[:, None])  # [N, A, 2]
    overlaps = boxes.iou(corners(0 * sides, sides)[:, None], corners(0 * own, anchors[:, 2:] - anchors[:, :2]))
    best = jnp.where(inside.all(-1), overlaps, -1).argmax(1)
    return latest(best, truth.there, len(anchors))


def _prepared(outputs, truth, size, ignore):
    """What versions 2 and 3 share: the arrays of all maps, which anchors answer, targets, and what else counts."""
    names = "codes", "objectness", "logits", "anchors", "strides"
    codes, objectness, logits, anchors, strides = (jnp.concatenate(outputs[name]) for name in names)
    match = claims(truth, anchors, strides)
    answers, own = match >= 0, truth.boxes[match]
    side, anchor_side = jnp.maximum(own[:, 2:] - own[:, :2], 1e-3), anchors[:, 2:] - anchors[:, :2]
    offset = ((own[:, :2] + own[:, 2:] - anchors[:, :2] - anchors[:, 2:]) / 2) / strides[:, None] + 0.5
    small = jnp.where(answers, 2 - side.prod(1) / (size[0] * size[1]), 0)[:, None]
    found = jax.lax.stop_gradient(decode(codes, anchors, strides))
    nearest = jnp.where(truth.there[:, None], boxes.iou(truth.boxes[:, None], found), 0).max(0)
    nothing = ~answers & (nearest <= ignore)
    targets = offset, jnp.log(side / anchor_side)
    return codes, objectness, logits, match, targets, small, nothing, boxes.iou(found, own)


def loss_v2(outputs: Mapping, truth: Truth, size, numbers, key, *, ignore) -> tuple[dict, jax.Array]:
    """The terms of version 2, and the weight 1. Squares are halved, so that their gradients are darknet's."""
    codes, objectness, logits, match, (offset, scale), small, nothing, overlap = _prepared(outputs, truth, size, ignore)
    answers, p = match >= 0, jax.nn.sigmoid(objectness)
    away = (jax.nn.sigmoid(codes[:, :2]) - offset) ** 2 + (codes[:, 2:] - scale) ** 2
    return {
        "box": (small * away).sum() / 2,
        "object": numbers["object_weight"] * jnp.where(answers, (p - overlap) ** 2, 0).sum() / 2,
        "nothing": jnp.where(nothing, p**2, 0).sum() / 2,
        "class": jnp.where(answers, softmax_cross_entropy(logits, truth.labels[match]), 0).sum(),
    }, jnp.ones(())


def loss_v3(outputs: Mapping, truth: Truth, size, numbers, key, *, ignore) -> tuple[dict, jax.Array]:
    """The terms of version 3, and the weight 1.

    The gradient of the cross-entropy of σ(t_x) is σ(t_x) − x*, which is what darknet descends.
    """
    codes, objectness, logits, match, (offset, scale), small, nothing, _ = _prepared(outputs, truth, size, ignore)
    answers = match >= 0
    away = sigmoid_cross_entropy(codes[:, :2], offset) + (codes[:, 2:] - scale) ** 2 / 2
    targets = jax.nn.one_hot(truth.labels[match], logits.shape[1], dtype=logits.dtype)
    of_classes = sigmoid_cross_entropy(logits, targets).sum(1)
    return {
        "box": (small * away).sum(),
        "object": jnp.where(answers, sigmoid_cross_entropy(objectness, jnp.ones_like(objectness)), 0).sum(),
        "nothing": jnp.where(nothing, sigmoid_cross_entropy(objectness, jnp.zeros_like(objectness)), 0).sum(),
        "class": jnp.where(answers, of_classes, 0).sum(),
    }, jnp.ones(())


def found_of_anchors(outputs: Mapping, size: tuple[int, int], *, probabilities, score, overlap, candidates, count):
    """(boxes [count, 4], labels, scores) of versions 2 and 3: objectness times the probability of a class."""
    names = "codes", "objectness", "logits", "anchors", "strides"
    codes, objectness, logits, anchors, strides = (jnp.concatenate(outputs[name]) for name in names)
    p = jax.nn.sigmoid(objectness)[:, None] * probabilities(logits)
    scores, places = surest(p, score, candidates)
    row, labels = jnp.divmod(places, logits.shape[1])
    found = boxes.clip(decode(codes, anchors, strides)[row], *size)
    return answer(found, labels, scores, overlap, count)
