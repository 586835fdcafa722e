"""Suppression against torchvision and the quadratic definition; soft suppression by hand; answers and their padding."""

import jax
import jax.numpy as jnp
import numpy as np

from training import boxes
from training.detection import suppression


def test_it_is_that_of_torchvision(stored):
    found, labels, scores = suppression.answer(stored["anchors"], stored["labels"], stored["scores"], 0.4, 200)
    count = len(stored["kept"])
    assert (np.asarray(labels)[count:] == suppression.NOBODY).all() and not scores[count:].any()
    expected = np.column_stack([stored["anchors"], stored["labels"], stored["scores"]])[stored["kept"]]
    ours = np.column_stack([found, labels, scores])[:count]
    rank = lambda rows: rows[np.lexsort(rows.T)]  # equal scores in any order
    np.testing.assert_allclose(rank(ours), rank(expected))
    assert (np.diff(scores) <= 0).all()


def test_a_thousand_random_sets_agree_with_the_definition_whatever_the_padding():
    """Kept boxes do not clash, and every other box clashes with a surer kept one: that set is unique."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 8, (1000, 12, 2))
    found = np.concatenate([corner, corner + rng.uniform(2, 12, (1000, 12, 2))], -1)
    scores = rng.permuted(np.tile(np.arange(12.0), (1000, 1)), axis=1)
    labels = rng.integers(0, 2, (1000, 12))
    keep = jax.jit(jax.vmap(lambda b, s, c: boxes.nms(b, s, 0.4, c)))(found, scores, labels)
    clash = (boxes.iou(found[:, :, None], found[:, None]) > 0.4) & (labels[:, :, None] == labels[:, None])
    surer = scores[:, None] > scores[:, :, None]
    suppressed = (clash & surer & keep[:, None]).any(-1)
    np.testing.assert_array_equal(keep, ~suppressed)
    assert 0.2 < keep.mean() < 0.9

    pad = lambda x, value: np.concatenate([np.full((1000, 3, *x.shape[2:]), value), x], 1)
    padded = jax.jit(jax.vmap(lambda b, s, c: boxes.nms(b, s, 0.4, c)))(
        pad(found, 5.0), pad(scores, -np.inf), pad(labels, 0)
    )
    np.testing.assert_array_equal(padded[:, 3:], keep)
    assert not padded[:, :3].any()


def test_scores_fall_with_the_overlap():
    found = jnp.array([[0.0, 0, 10, 10], [0, 0, 10, 5], [20, 0, 30, 10], [0, 0, 10, 9]])
    scores = jnp.array([0.9, 0.8, 0.7, 0.6])
    np.testing.assert_allclose(
        suppression.soft_nms(found, scores, 0.3), [0.9, 0.8 * 0.5, 0.7, 0.6 * 0.1 * (1 - 5 / 9)], rtol=1e-6
    )
    soft = suppression.soft_nms(found, scores, sigma=0.5)
    np.testing.assert_allclose(soft[:3], [0.9, 0.8 * np.exp(-0.25 / 0.5), 0.7], rtol=1e-6)


def test_an_answer_has_its_size_whatever_there_is():
    empty = suppression.answer(jnp.zeros((2, 4)), jnp.zeros(2, int), jnp.full(2, -jnp.inf), 0.5, 4)
    assert [x.shape for x in empty] == [(4, 4), (4,), (4,)]
    assert (empty[1] == suppression.NOBODY).all() and not empty[0].any() and not empty[2].any()


def test_the_surest_pairs_come_first():
    scores, places = suppression.surest(jnp.array([[0.2, 0.9], [0.5, 0.1]]), 0.15, 9)
    np.testing.assert_allclose(scores, [0.9, 0.5, 0.2, -np.inf])
    np.testing.assert_array_equal(places[:3], [1, 2, 0])
