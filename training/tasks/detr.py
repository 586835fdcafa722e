"""Detection as the prediction of a set (DETR: Carion et al. 2020).

With p the probabilities that a query gives to the classes and to nothing, b its box (x, y, w, h in images), and c_i and
b_i the class and box of object i, each object gets the query that the cheapest one-to-one assignment gives it, where a
pair costs

    −p(c_i) + λ_L1 |b_i − b|₁ − λ_GIoU GIoU(b_i, b)                                     section 3.1

After each layer of the decoder the loss of an image of n objects is

    ℓ_class = Σ_queries −w log p(c) / Σ_queries w,    w = `nothing` where c is nothing, else 1
    ℓ_box   = λ_L1 Σ_objects |b_i − b|₁ / n     ℓ_giou = λ_GIoU Σ_objects (1 − GIoU) / n     equation 3

and that of a batch is the mean over its images. (The authors divide by the numbers of the whole batch: the same for one
image, but not a sum over images.)
"""

from collections.abc import Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import boxes
from training.detection.assignment import assign
from training.detection.coders import corners
from training.detection.detector import Truth, detector
from training.detection.suppression import best_of
from training.errors import TrainingError
from training.losses import softmax_cross_entropy
from training.task import Task


def detr(
    networks: dict[str, nn.Module],
    *,
    nothing: float = 0.1,
    l1_weight: float = 5.0,
    giou_weight: float = 2.0,
    auxiliary: bool = True,
    max_detections: int = 100,
) -> Task:
    """See training/detection/detector.py; the network gives logits [B, L, Q, K + 1] and boxes [B, L, Q, 4].

    Args:
      nothing: the weight of a query that is to answer nothing.
      l1_weight, giou_weight: λ_L1 and λ_GIoU.
      auxiliary: the loss is the sum over the L layers, not that of the last one alone.
      max_detections: M.

    Raises TrainingError, when it is traced, where a batch has room for more objects than there are queries.
    """
    return detector(
        networks,
        partial(loss_of_one, auxiliary=auxiliary),
        partial(found_of_one, count=max_detections),
        numbers=("nothing", "l1_weight", "giou_weight"),
    )


def loss_of_one(outputs: Mapping, truth: Truth, size, numbers, key, *, auxiliary) -> tuple[dict, jax.Array]:
    """({ℓ_class, ℓ_box, ℓ_giou}, 1) of one image, each the sum over layers."""
    objects, queries = len(truth.boxes), outputs["boxes"].shape[1]
    if objects > queries:
        raise TrainingError(
            f"{objects} objects cannot each have one of the {queries} queries: set data.max_objects or model.queries"
        )
    inverse = 1 / jnp.array([size[1], size[0]] * 2, outputs["boxes"].dtype)
    own = truth.boxes * inverse
    own = jnp.concatenate([(own[:, :2] + own[:, 2:]) / 2, own[:, 2:] - own[:, :2]], 1)  # (x, y, w, h)
    count = jnp.maximum(truth.there.sum(), 1)

    def of_layer(logits, found):
        away = jnp.abs(own[:, None] - found).sum(-1)  # [N, Q]
        overlaps = boxes.generalised_iou(corners(*jnp.split(own, 2, -1))[:, None], corners(*jnp.split(found, 2, -1)))
        named = jax.nn.softmax(logits)[:, truth.labels].T
        costs = numbers["l1_weight"] * away - named - numbers["giou_weight"] * overlaps
        query = assign(jax.lax.stop_gradient(costs), truth.there)  # [N]
        nobody = logits.shape[1] - 1
        labels = (
            jnp.full(len(logits), nobody).at[jnp.where(truth.there, query, len(logits))].set(truth.labels, mode="drop")
        )
        weights = jnp.where(labels == nobody, numbers["nothing"], 1.0)
        rows = jnp.arange(len(query))
        pairs = lambda table: jnp.where(truth.there, table[rows, jnp.maximum(query, 0)], 0).sum() / count
        return {
            "class": (weights * softmax_cross_entropy(logits, labels)).sum() / weights.sum(),
            "box": numbers["l1_weight"] * pairs(away),
            "giou": numbers["giou_weight"] * pairs(1 - overlaps),
        }

    layers = slice(None) if auxiliary else slice(-1, None)
    terms = jax.vmap(of_layer)(outputs["logits"][layers], outputs["boxes"][layers])
    return jax.tree.map(jnp.sum, terms), jnp.ones(())


def found_of_one(outputs: Mapping, size: tuple[int, int], *, count):
    """(boxes [count, 4], labels, scores) of one image: each query of the last layer has one class."""
    p = jax.nn.softmax(outputs["logits"][-1])[:, :-1]
    found = corners(*jnp.split(outputs["boxes"][-1], 2, -1)) * jnp.array([size[1], size[0]] * 2, p.dtype)
    return best_of(boxes.clip(found, *size), p.argmax(1), p.max(1), count)
