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
    kept = boxes.nms(found, scores, threshold, labels)
    return best_of(found, labels, jnp.where(kept, scores, -jnp.inf), count)


def best_of(found: jax.Array, labels: jax.Array, scores: jax.Array, count: int):
    """The best `count` of boxes [N, 4], with their labels [N] and scores [N], as `answer` returns them."""
    if len(scores) < count:
        more = count - len(scores)
        found, labels = jnp.pad(found, ((0, more), (0, 0))), jnp.pad(labels, (0, more))
        scores = jnp.pad(scores, (0, more), constant_values=-jnp.inf)
    scores, best = jax.lax.top_k(scores, count)
    there = scores > -jnp.inf
    return (
        jnp.where(there[:, None], found[best], 0),
        jnp.where(there, labels[best], NOBODY),
        jnp.where(there, scores, 0),
    )


def answer_by_class(found: jax.Array, scores: jax.Array, least: float, candidates: int, threshold: float, count: int):
    """The best `count` boxes, where every row has a score for each class: suppression runs for each class by itself.

    Args:
      found: [A, 4], or [A, K, 4] where each class has a box of its own.
      scores: [A, K]; those of `least` and below do not count.
      candidates: the best of each class, before suppression.

    Returns: as `answer` does.
    """
    classes = scores.shape[1]

    def of_class(label):
        top, rows = jax.lax.top_k(jnp.where(scores[:, label] > least, scores[:, label], -jnp.inf), most)
        own = found[rows] if found.ndim == 2 else found[rows, label]
        return own, jnp.where(boxes.nms(own, top, threshold), top, -jnp.inf)

    most = min(candidates, len(scores))
    own, top = jax.vmap(of_class)(jnp.arange(classes))
    labels = jnp.repeat(jnp.arange(classes), most)
    return best_of(own.reshape(-1, 4), labels, top.ravel(), count)
