"""Which object each anchor of one image answers for. There are N objects, some of them padding, and A anchors.

A match is [A] integers: the row of an object, BACKGROUND, or BETWEEN for an anchor that is left out of the loss.
"""

import jax
import jax.numpy as jnp

BACKGROUND, BETWEEN = -1, -2


def by_overlap(overlaps: jax.Array, there: jax.Array, positive: float, negative: float, low_quality: bool):
    """The object with the largest IoU, if that is at least `positive`. Ren et al. 2015, section 3.1.2.

    Below `negative` it is BACKGROUND, from there on BETWEEN.

    Args:
      overlaps: [N, A], the IoU of objects and anchors.
      there: [N] bool, which rows are objects.
      low_quality: the anchors with the largest IoU of an object (all of them, where there are equals) get the object
        that they overlap most, however little, so that no object is left without an anchor.

    Returns: [A].
    """
    overlaps = jnp.where(there[:, None], overlaps, -1)
    best, closest = overlaps.max(0), overlaps.argmax(0)
    match = jnp.where(best >= positive, closest, jnp.where(best >= negative, BETWEEN, BACKGROUND))
    if low_quality:
        largest = overlaps.max(1, keepdims=True)
        match = jnp.where(((overlaps == largest) & (largest > 0)).any(0), closest, match)
    return match


def with_best(overlaps: jax.Array, there: jax.Array, positive: float) -> jax.Array:
    """The object with the largest IoU of at least `positive`; then the best anchor of each object gets it.

    Liu et al. 2016, section 2.2. Where two objects share their best anchor, the later one gets it.

    Args:
      overlaps: [N, A]; there: [N] bool.

    Returns: [A].
    """
    match = by_overlap(overlaps, there, positive, positive, low_quality=False)
    taken = (jnp.arange(overlaps.shape[1]) == overlaps.argmax(1)[:, None]) & there[:, None]  # [N, A]
    latest = jnp.where(taken, jnp.arange(len(there))[:, None], -1).max(0)
    return jnp.where(latest >= 0, latest, match)


def by_centre(boxes: jax.Array, there: jax.Array, anchors: jax.Array, limits: jax.Array, radius: float) -> jax.Array:
    """The smallest object around an anchor's centre, if its size suits the level. Tian et al. 2019, section 3.2.

    The centre must lie in the object, nearer than `radius` anchor sides to the object's centre along both axes, and the
    largest distance to a side of the object must lie between the limits.

    Args:
      boxes: [N, 4]; there: [N] bool; anchors: [A, 4] squares.
      limits: [A, 2], in pixels.

    Returns: [A], BACKGROUND where there is no such object.
    """
    centres, side = (anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2] - anchors[:, 0]
    near = jnp.abs(centres - ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, None]).max(-1) < radius * side  # [N, A]
    distances = jnp.concatenate([centres - boxes[:, None, :2], boxes[:, None, 2:] - centres], -1)
    reach = distances.max(-1)
    suits = near & (distances.min(-1) > 0) & (reach > limits[:, 0]) & (reach < limits[:, 1]) & there[:, None]
    areas = jnp.where(suits, (boxes[:, 2:] - boxes[:, :2]).prod(-1)[:, None], jnp.inf)
    return jnp.where(suits.any(0), areas.argmin(0), BACKGROUND)
