"""Boxes (x1, y1, x2, y2) in pixels, x1 ≤ x2 and y1 ≤ y2: overlaps, and the suppression of all but the best of several.

Everything has static shapes and can be jitted; a box of zeros has no area and overlaps nothing.
"""

import jax
import jax.numpy as jnp

TILE = 256  # boxes that `nms` compares at a time


def area(boxes: jax.Array) -> jax.Array:
    """[..., 4] -> [...], in square pixels."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def iou(a: jax.Array, b: jax.Array) -> jax.Array:
    """|A ∩ B| / |A ∪ B| in [0, 1] of boxes [..., 4] that broadcast -> [...]; 0 where both are empty."""
    overlap, union = _overlap_and_union(a, b)
    return _ratio(overlap, union)


def generalised_iou(a: jax.Array, b: jax.Array) -> jax.Array:
    """IoU − |C \\ (A ∪ B)| / |C| in [−1, 1] with C the smallest box around both: Rezatofighi et al. 2019, algorithm 1.

    Boxes [..., 4] that broadcast -> [...]. Unlike IoU it has a gradient where the boxes do not meet.
    """
    overlap, union = _overlap_and_union(a, b)
    around = jnp.concatenate([jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:])], -1)
    return _ratio(overlap, union) - _ratio(area(around) - union, area(around))


def clip(boxes: jax.Array, height: int, width: int) -> jax.Array:
    """The part of boxes [..., 4] that lies in an image of `height` × `width` pixels."""
    return jnp.clip(boxes, 0, jnp.array([width, height, width, height], boxes.dtype))


def nms(boxes: jax.Array, scores: jax.Array, threshold, labels: jax.Array | None = None) -> jax.Array:
    """Greedy non-maximum suppression: which boxes are kept, [N] bool.

    In the order of descending scores, the lower index first among equal ones, a box is kept unless its IoU with a kept
    box is above `threshold`. A box whose score is −∞ is padding: it is not kept and suppresses nothing.

    The order is cut into tiles. Within a tile, keep_i = ¬ any_{j<i} (keep_j ∧ IoU_ij > threshold) is iterated from
    "all are kept" to its fixed point, which is unique: after n iterations the first n boxes have their final value.
    Memory is TILE · N, and the number of iterations is the longest chain of suppressions in a tile.

    Args:
      boxes: [N, 4].
      scores: [N].
      labels: [N] integers, or None. Boxes of different labels do not suppress each other.
    """
    count = len(scores)
    if count == 0:
        return jnp.zeros(0, bool)
    order = jnp.argsort(-scores, stable=True)
    tile = min(TILE, count)
    tiles = -(-count // tile)
    pad = lambda x: jnp.pad(x[order], [(0, tiles * tile - count)] + [(0, 0)] * (x.ndim - 1))
    boxes = pad(boxes)
    labels = pad(jnp.zeros(count, jnp.int32) if labels is None else labels)
    earlier = jnp.tril(jnp.ones((tile, tile), bool), -1)  # [i, j]: j < i

    def one_tile(t, keep):
        start = t * tile
        own = lambda x: jax.lax.dynamic_slice_in_dim(x, start, tile)
        clash = (iou(own(boxes)[:, None], boxes) > threshold) & (own(labels)[:, None] == labels)  # [tile, N]
        decided = keep & (jnp.arange(len(keep)) < start)
        candidates = own(keep) & ~(clash & decided).any(1)
        within = jax.lax.dynamic_slice_in_dim(clash, start, tile, 1) & earlier

        def refine(state):
            _, kept = state
            return kept, candidates & ~(within & kept).any(1)

        _, kept = jax.lax.while_loop(lambda s: (s[0] != s[1]).any(), refine, (~candidates, candidates))
        return jax.lax.dynamic_update_slice_in_dim(keep, kept, start, 0)

    keep = jax.lax.fori_loop(0, tiles, one_tile, pad(scores > -jnp.inf))
    return jnp.zeros(count, bool).at[order].set(keep[:count])


def _overlap_and_union(a, b):
    sides = jnp.maximum(jnp.minimum(a[..., 2:], b[..., 2:]) - jnp.maximum(a[..., :2], b[..., :2]), 0)
    overlap = sides.prod(-1)
    return overlap, area(a) + area(b) - overlap


def _ratio(numerator, denominator):
    """Numerator / denominator, and 0 where both are 0; the gradient is finite there too."""
    return jnp.where(denominator > 0, numerator, 0) / jnp.where(denominator > 0, denominator, 1)
