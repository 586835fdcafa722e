"""From many scored boxes of one image to its answer: suppression that is soft, and the best that are left.

Greedy suppression is `training.boxes.nms`.
"""

import jax
import jax.numpy as jnp

from training import boxes

NOBODY = -1  # the label of padding


def soft_nms(found: jax.Array, scores: jax.Array, threshold: float = 0.3, sigma: float = 0.0) -> jax.Array:
    """Scores that fall with the overlap with surer boxes, in place of suppression. Bodla et al. 2017, equations 2, 3.

    Box by box, the surest that is left multiplies the scores of the others by exp(−IoU²/σ), or with sigma=0 by 1 − IoU
    where the IoU is at least `threshold`.

    Args:
      found: [N, 4]; scores: [N] ≥ 0, where 0 may be padding.

    Returns: [N], in the order of `scores`.
    """

    def step(_, state):
        scores, left = state
        best = jnp.where(left, scores, -jnp.inf).argmax()
        left = left.at[best].set(False)
        overlap = boxes.iou(found[best], found)
        factor = jnp.exp(-(overlap**2) / sigma) if sigma else jnp.where(overlap >= threshold, 1 - overlap, 1)
        return jnp.where(left, scores * factor, scores), left

    return jax.lax.fori_loop(0, len(scores), step, (scores, jnp.ones(len(scores), bool)))[0]


def surest(scores: jax.Array, least: float, count: int) -> tuple[jax.Array, jax.Array]:
    """The `count` best (row, class) pairs above `least` of scores [A, K], best first.

    Returns: (scores, places in scores.ravel()), [min(count, A·K)] each; a score is −∞ where there are no more.
    """
    flat = jnp.where(scores > least, scores, -jnp.inf).ravel()
    return jax.lax.top_k(flat, min(count, flat.size))


def answer(found: jax.Array, labels: jax.Array, scores: jax.Array, threshold: float, count: int):
    """The best `count` boxes after suppression within each class.

    Args:
      found: [N, 4]; labels: [N]; scores: [N], −∞ for padding.
      threshold: of IoU, above which a box gives way to a surer one of its class.

    Returns: (boxes [count, 4], labels [count], scores [count]), best first; then boxes of 0, NOBODY and 0.
    """
    if len(scores) < count:
        more = count - len(scores)
        found, labels = jnp.pad(found, ((0, more), (0, 0))), jnp.pad(labels, (0, more))
        scores = jnp.pad(scores, (0, more), constant_values=-jnp.inf)
    kept = jnp.where(boxes.nms(found, scores, threshold, labels), scores, -jnp.inf)
    scores, best = jax.lax.top_k(kept, count)
    there = scores > -jnp.inf
    return (
        jnp.where(there[:, None], found[best], 0),
        jnp.where(there, labels[best], NOBODY),
        jnp.where(there, scores, 0),
    )
