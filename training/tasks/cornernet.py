"""Detection by pairs of corners (CornerNet: Law & Deng 2018).

For each corner of the N objects of an image the target of a heat map is 1 in its cell and falls off around it, so that
a box whose corners have moved by less than the radius still has an IoU of `least`; σ = (2r + 1)/6. With e_t and e_b the
embeddings at the corners of object k, e_k their mean, and o the offsets,

    ℓ_heat   = −Σ { (1 − p)^α log p              where the target y is 1
                  { (1 − y)^β p^α log(1 − p)     otherwise                        equation 1
    ℓ_offset = Σ_k smooth-L1(o_k − o_k*)                                          equation 3
    ℓ_pull   = Σ_k (e_t − e_k)² + (e_b − e_k)²                                    equation 4
    ℓ_push   = Σ_k Σ_{j≠k} max(0, 1 − |e_k − e_j|) / (N − 1)                      equation 5

over N, with 1 for an image without objects, for both corners and after each level.
"""

from collections.abc import Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import boxes
from training.detection import losses
from training.detection.detector import Truth, detector
from training.detection.suppression import best_of, soft_nms
from training.task import Task
from training.tasks.detection import heat, radius

APART = 0.5  # corners whose embeddings differ by more are not a pair


def cornernet(
    networks: dict[str, nn.Module],
    *,
    alpha: float = 2.0,
    beta: float = 4.0,
    least: float = 0.3,
    pull_weight: float = 0.1,
    push_weight: float = 0.1,
    corners: int = 100,
    sigma: float = 0.5,
    max_detections: int = 100,
) -> Task:
    """See training/detection/detector.py; the network gives heatmap, embedding and offset of both corners.

    Args:
      alpha, beta: α and β.
      least: the IoU of a box whose corners have moved by the radius. The paper: 0.7, the authors' code: 0.3.
      pull_weight, push_weight: of ℓ_pull and ℓ_push.
      corners: how many of each kind are paired in use.
      sigma: of the soft suppression.
      max_detections: M.
    """
    return detector(
        networks,
        partial(loss_of_one, least=least),
        partial(found_of_one, corners=corners, sigma=sigma, count=max_detections),
        numbers=("alpha", "beta", "pull_weight", "push_weight"),
    )


def loss_of_one(outputs: Mapping, truth: Truth, size, numbers, key, *, least) -> tuple[dict, jax.Array]:
    """(the terms, N) of one image."""
    shape = outputs["heatmap"].shape[2:]
    scale = jnp.array([shape[1] / size[1], shape[0] / size[0]], outputs["offset"].dtype)
    places = truth.boxes.reshape(-1, 2, 2).swapaxes(0, 1) * scale  # [2, N, 2]: of the corners, in cells
    limit = jnp.array([shape[1] - 1, shape[0] - 1])
    cells = jnp.clip(jnp.floor(places), 0, limit).astype(jnp.int32)
    reach = (2 * radius((truth.boxes[:, 2:] - truth.boxes[:, :2]) * scale, least) + 1) / 6
    labels = jnp.where(truth.there, truth.labels, -1)
    targets = jax.vmap(lambda own: heat(own, reach, labels, shape))(cells)  # [2, h, w, K]
    count = truth.there.sum()

    def of_level(logits, embedding, offset):
        log_p, log_not = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
        near = -jnp.exp(numbers["alpha"] * log_not) * log_p
        far = -((1 - targets) ** numbers["beta"]) * jnp.exp(numbers["alpha"] * log_p) * log_not
        at = lambda x: jax.vmap(lambda x, own: x[own[:, 1], own[:, 0]])(x, cells)  # [2, N, ...]
        off = losses.smooth_l1(at(offset) - (places - cells)).sum((0, 2))
        own = at(embedding)
        mean = own.mean(0)
        pairs = truth.there[:, None] & truth.there & ~jnp.eye(len(mean), dtype=bool)
        push = jnp.where(pairs, jnp.maximum(1 - jnp.abs(mean[:, None] - mean), 0), 0).sum() / jnp.maximum(count - 1, 1)
        return {
            "heat": jnp.where(targets == 1, near, far).sum(),
            "offset": jnp.where(truth.there, off, 0).sum(),
            "pull": numbers["pull_weight"] * jnp.where(truth.there, ((own - mean) ** 2).sum(0), 0).sum(),
            "push": numbers["push_weight"] * push,
        }

    terms = jax.vmap(of_level)(outputs["heatmap"], outputs["embedding"], outputs["offset"])
    return jax.tree.map(jnp.sum, terms), jnp.maximum(count, 1)


def found_of_one(outputs: Mapping, size: tuple[int, int], *, corners, sigma, count):
    """(boxes [count, 4], labels, scores) of one image: pairs of the surest corners of the last level. Section 4.2."""
    logits, embedding, offset = (outputs[name][-1] for name in ("heatmap", "embedding", "offset"))
    scale = jnp.array([size[1] / logits.shape[2], size[0] / logits.shape[1]], offset.dtype)

    def surest(logits, embedding, offset):
        p = jax.nn.sigmoid(logits)
        p = jnp.where(p == nn.max_pool(p, window_shape=(3, 3), strides=(1, 1), padding="SAME"), p, 0)
        scores, places = jax.lax.top_k(p.ravel(), min(corners, p.size))
        y, x, labels = jnp.unravel_index(places, p.shape)
        return scores, labels, embedding[y, x], (jnp.stack([x, y], 1) + offset[y, x]) * scale

    scores, labels, embeddings, points = jax.vmap(surest)(logits, embedding, offset)
    number = scores.shape[1]
    first, second = (x.ravel() for x in jnp.meshgrid(jnp.arange(number), jnp.arange(number), indexing="ij"))
    found = jnp.concatenate([points[0][first], points[1][second]], 1)
    fits = (labels[0][first] == labels[1][second]) & (jnp.abs(embeddings[0][first] - embeddings[1][second]) <= APART)
    fits = fits & (found[:, 2:] > found[:, :2]).all(1)
    fits = fits & (scores[0][first] > 0) & (scores[1][second] > 0)  # 0: not a peak, whatever the other one's score
    both = jnp.where(fits, (scores[0][first] + scores[1][second]) / 2, 0)
    both, best = jax.lax.top_k(both, min(10 * count, both.size))
    found, labels = boxes.clip(found[best], *size), labels[0][first][best]
    # Boxes of different classes are moved apart, so that they do not suppress each other.
    apart = found + labels[:, None] * (2.0 * max(size))
    both = soft_nms(apart, both, sigma=sigma)
    return best_of(found, labels, jnp.where(both > 0, both, -jnp.inf), count)
