"""Overlaps with a term for where boxes lie (Zheng et al. 2020). IoU and GIoU are in training/boxes.py."""

import math

import jax
import jax.numpy as jnp

from training import boxes

TINY = 1e-7  # keeps quotients of sizes finite where a box has none


def distance_iou(a: jax.Array, b: jax.Array) -> jax.Array:
    """IoU − ρ²/c² in [−1, 1], equation 7: ρ is the distance of the centres, c the diagonal of the box around both.

    Boxes [..., 4] that broadcast -> [...].
    """
    between = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    around = jnp.maximum(a[..., 2:], b[..., 2:]) - jnp.minimum(a[..., :2], b[..., :2])
    return boxes.iou(a, b) - (between**2).sum(-1) / ((around**2).sum(-1) + TINY)


def complete_iou(a: jax.Array, b: jax.Array) -> jax.Array:
    """DIoU − αv, equations 8 to 11. Boxes [..., 4] that broadcast -> [...].

    v = 4/π² (arctan(w_b/h_b) − arctan(w_a/h_a))² compares shapes, and its weight α = v / (1 − IoU + v) is a constant of
    the gradient.
    """
    v = 4 / math.pi**2 * (_angle(b) - _angle(a)) ** 2
    alpha = jax.lax.stop_gradient(v / (1 - boxes.iou(a, b) + v + TINY))
    return distance_iou(a, b) - alpha * v


def _angle(box):
    return jnp.arctan((box[..., 2] - box[..., 0]) / jnp.maximum(box[..., 3] - box[..., 1], TINY))
