"""Boxes: overlaps against values by hand, and suppression against the greedy algorithm in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training import boxes

A = np.array([0.0, 0.0, 10.0, 10.0])


@pytest.mark.parametrize(
    ("other", "iou", "generalised"),
    [
        ((0, 0, 10, 10), 1.0, 1.0),
        ((5, 0, 15, 10), 50 / 150, 50 / 150),  # the box around both is their union
        ((5, 5, 15, 15), 25 / 175, 25 / 175 - (225 - 175) / 225),
        ((20, 0, 30, 10), 0.0, -100 / 300),
        ((10, 0, 20, 10), 0.0, 0.0),  # they touch
        ((2, 2, 4, 4), 4 / 100, 4 / 100),
    ],
)
def test_overlaps_by_hand(other, iou, generalised):
    for a, b in ((A, np.array(other, float)), (np.array(other, float), A)):
        np.testing.assert_allclose(boxes.iou(jnp.asarray(a), jnp.asarray(b)), iou, rtol=1e-6)
        np.testing.assert_allclose(boxes.generalised_iou(jnp.asarray(a), jnp.asarray(b)), generalised, rtol=1e-6)


def test_overlaps_broadcast_and_empty_boxes_overlap_nothing():
    some = jnp.asarray(random_boxes(np.random.default_rng(0), 5), jnp.float32).at[2].set(0)
    table = boxes.iou(some[:, None], some)
    np.testing.assert_allclose(jnp.diag(table), [1, 1, 0, 1, 1])
    for of in (boxes.iou, boxes.generalised_iou):
        grad = jax.grad(lambda b, of=of: of(b[:, None], b).sum())(some)
        assert np.isfinite(grad).all()


def test_generalised_iou_has_a_gradient_where_boxes_do_not_meet():
    away = jnp.array([20.0, 0.0, 30.0, 10.0])
    assert jax.grad(lambda b: boxes.generalised_iou(b, jnp.asarray(A)))(away)[0] < 0  # nearer is better
    assert not jax.grad(lambda b: boxes.iou(b, jnp.asarray(A)))(away).any()


def test_clip_is_to_width_and_height():
    np.testing.assert_array_equal(boxes.clip(jnp.array([-3.0, -2.0, 50.0, 60.0]), 20, 40), [0, 0, 40, 20])


def random_boxes(rng, count, side=40):
    corner = rng.integers(0, side, (count, 2))
    return np.concatenate([corner, corner + rng.integers(1, side // 2, (count, 2))], 1).astype(float)


def greedy(found, scores, threshold, labels):
    """The textbook loop."""
    keep = np.zeros(len(scores), bool)
    for i in np.argsort(-scores, kind="stable"):
        if scores[i] == -np.inf:
            continue
        own = [j for j in np.flatnonzero(keep) if labels[i] == labels[j]]
        sides = np.minimum(found[i, 2:], found[own, 2:]) - np.maximum(found[i, :2], found[own, :2])
        overlap = np.maximum(sides, 0).prod(-1)
        size = lambda b: (b[..., 2:] - b[..., :2]).prod(-1)
        keep[i] = not (overlap / (size(found[i]) + size(found[own]) - overlap) > threshold).any()
    return keep


@pytest.mark.parametrize("count", [0, 1, 7, 40, 64])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
def test_suppression_is_the_greedy_one(monkeypatch, count, threshold):
    monkeypatch.setattr(boxes, "TILE", 16)  # several tiles; the last one is not full
    rng = np.random.default_rng(count)
    with jax.enable_x64(True):
        suppress = jax.jit(lambda b, s, labels: boxes.nms(b, s, threshold, labels))
        for labels in (np.zeros(count, int), rng.integers(0, 3, count)):
            for _ in range(3):
                found = random_boxes(rng, count)
                scores = rng.integers(0, 6, count) / 5  # many ties
                scores[rng.random(count) < 0.1] = -np.inf
                expected = greedy(found, scores, threshold, labels)
                np.testing.assert_array_equal(suppress(found, scores, labels), expected)


def test_a_chain_of_suppressions_is_followed_to_its_end(monkeypatch):
    """Box i overlaps its neighbours alone, so that every second one is kept: the longest way to the fixed point."""
    monkeypatch.setattr(boxes, "TILE", 8)
    left = 5.0 * jnp.arange(20)
    row = jnp.stack([left, 0 * left, left + 10, 0 * left + 10], 1)
    keep = boxes.nms(row, -jnp.arange(20.0), 0.3)
    np.testing.assert_array_equal(keep, np.arange(20) % 2 == 0)
    batched = jax.vmap(lambda b, s: boxes.nms(b, s, 0.3))(row[None], -jnp.arange(20.0)[None])
    np.testing.assert_array_equal(batched[0], keep)
