"""Boxes as numbers that a network regresses, relative to an anchor, and back. All boxes are (x1, y1, x2, y2)."""

import math

import jax
import jax.numpy as jnp

LIMIT = math.log(1000 / 16)  # of the logarithm of a scale: a network that starts wild would overflow
TINY = 1e-7  # the least side of a box that is encoded: padding has none


def encode(boxes: jax.Array, anchors: jax.Array, weights: tuple[float, float, float, float] = (1, 1, 1, 1)):
    """((x − x_a)/w_a, (y − y_a)/h_a, log w/w_a, log h/h_a) times `weights`. Girshick et al. 2014, equations 6 to 9.

    x, y are centres. Weights are the inverse of the "variances" of SSD: (10, 10, 5, 5) for (0.1, 0.1, 0.2, 0.2).

    Args:
      boxes, anchors: [..., 4] that broadcast; anchors are not empty.

    Returns: [..., 4].
    """
    centre, side = _centre_and_side(boxes)
    anchor_centre, anchor_side = _centre_and_side(anchors)
    moves = (centre - anchor_centre) / anchor_side
    scales = jnp.log(jnp.maximum(side, TINY) / anchor_side)
    return jnp.concatenate([moves, scales], -1) * jnp.asarray(weights, moves.dtype)


def decode(codes: jax.Array, anchors: jax.Array, weights: tuple[float, float, float, float] = (1, 1, 1, 1)):
    """The boxes [..., 4] that `encode` made into `codes` [..., 4]; logarithms of scales are cut off at LIMIT."""
    codes = codes / jnp.asarray(weights, codes.dtype)
    anchor_centre, anchor_side = _centre_and_side(anchors)
    centre = codes[..., :2] * anchor_side + anchor_centre
    return corners(centre, jnp.exp(jnp.minimum(codes[..., 2:], LIMIT)) * anchor_side)


def encode_distances(boxes: jax.Array, anchors: jax.Array) -> jax.Array:
    """(left, top, right, bottom): from an anchor's centre to the sides of a box, over the anchor's sides [..., 4].

    Tian et al. 2019, equation 1; negative where the centre lies outside the box.
    """
    centre, side = _centre_and_side(anchors)
    return jnp.concatenate([centre - boxes[..., :2], boxes[..., 2:] - centre], -1) / jnp.concatenate([side, side], -1)


def decode_distances(codes: jax.Array, anchors: jax.Array) -> jax.Array:
    """The boxes [..., 4] that `encode_distances` made into `codes` [..., 4]."""
    centre, side = _centre_and_side(anchors)
    return jnp.concatenate([centre - codes[..., :2] * side, centre + codes[..., 2:] * side], -1)


def corners(centre: jax.Array, side: jax.Array) -> jax.Array:
    """(x1, y1, x2, y2) [..., 4] of centres (x, y) and sides (w, h), each [..., 2]."""
    return jnp.concatenate([centre - side / 2, centre + side / 2], -1)


def _centre_and_side(boxes):
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
