"""CornerNet: its losses by hand, and objects that a network states are found again."""

import jax
import jax.numpy as jnp
import numpy as np

from training.detection.detector import Truth
from training.tasks import cornernet

SIZE, CELLS, K = (32, 48), (8, 12), 3
BOXES = np.array([[5.0, 3, 21, 18], [22.5, 9, 43, 30], [2, 20, 14, 29]])
LABELS = np.array([1, 0, 1])
NUMBERS = dict(alpha=2.0, beta=4.0, pull_weight=0.1, push_weight=0.1)


def stated():
    """The outputs that the losses ask for, of one level; later objects are less sure."""
    heat = np.full((1, 2, *CELLS, K), -30.0)
    embedding, offset = np.full((1, 2, *CELLS), 50.0), np.zeros((1, 2, *CELLS, 2))
    for k, (box, label) in enumerate(zip(BOXES, LABELS, strict=True)):
        for corner in range(2):
            point = box[2 * corner : 2 * corner + 2] / 4
            x, y = np.floor(point).astype(int)
            heat[0, corner, y, x, label] = 3 - k
            embedding[0, corner, y, x] = 2 * k
            offset[0, corner, y, x] = point - (x, y)
    return {"heatmap": jnp.asarray(heat), "embedding": jnp.asarray(embedding), "offset": jnp.asarray(offset)}


def test_objects_that_a_network_states_are_found_again():
    """Objects 0 and 2 have one class: only embeddings separate their corners."""
    found, labels, scores = cornernet.found_of_one(stated(), SIZE, corners=20, sigma=0.5, count=5)
    p = 1 / (1 + np.exp(-(3.0 - np.arange(3))))
    assert (scores[:3] > 0.5).all() and not (scores[3:] > 1e-6).any()
    np.testing.assert_allclose(found[:3], BOXES, atol=1e-9)
    np.testing.assert_array_equal(labels[:3], LABELS)
    assert (scores[:3] <= p).all() and scores[0] == p[0]  # soft suppression


def test_the_losses_by_hand():
    truth = Truth(jnp.asarray(BOXES), jnp.asarray(LABELS), jnp.ones(3, bool))
    outputs = stated()
    loss = jax.jit(lambda outputs: cornernet.loss_of_one(outputs, truth, SIZE, NUMBERS, None, least=0.3))
    terms, weight = loss(outputs)
    assert weight == 3 and terms["offset"] == 0 and terms["pull"] == 0 and terms["push"] == 0
    p = 1 / (1 + np.exp(-(3.0 - np.arange(3))))
    np.testing.assert_allclose(terms["heat"], -2 * ((1 - p) ** 2 * np.log(p)).sum(), rtol=1e-6)

    # 0 and 1 come as near as 0.25, and the corners of 1 are 0.5 apart.
    at = lambda corner, k: (0, corner, int(BOXES[k, 2 * corner + 1] // 4), int(BOXES[k, 2 * corner] // 4))
    embedding = outputs["embedding"].at[at(0, 1)].set(0.0).at[at(1, 1)].set(0.5)
    offset = outputs["offset"].at[at(1, 2)].add(0.2)
    terms, _ = loss({**outputs, "embedding": embedding, "offset": offset})
    np.testing.assert_allclose(terms["pull"], 0.1 * 2 * 0.25**2, rtol=1e-6)
    np.testing.assert_allclose(terms["push"], 0.1 * 2 * 0.75 / 2, rtol=1e-6)
    np.testing.assert_allclose(terms["offset"], 2 * 0.2**2 / 2, rtol=1e-6)


def test_a_cell_that_is_not_a_peak_has_no_pairs():
    """Each corner has one peak, from which all other cells slope away."""
    y, x = np.mgrid[: CELLS[0], : CELLS[1]]
    slope = lambda row, column: 3.0 - np.maximum(abs(y - row), abs(x - column))
    heat = jnp.asarray(np.stack([slope(1, 2), slope(5, 8)]))[None, ..., None]
    outputs = {"heatmap": heat, "embedding": jnp.zeros((1, 2, *CELLS)), "offset": jnp.zeros((1, 2, *CELLS, 2))}
    found, labels, scores = cornernet.found_of_one(outputs, SIZE, corners=96, sigma=0.5, count=5)
    np.testing.assert_array_equal(labels, [0, -1, -1, -1, -1])
    np.testing.assert_array_equal(found[0], [8, 4, 32, 20])
    np.testing.assert_allclose(scores[0], 1 / (1 + np.exp(-3)))
