"""YOLO: a cell by hand, who answers, and the losses term by term."""

import jax
import jax.numpy as jnp
import numpy as np

from training.detection.detector import Truth
from training.tasks import yolo

sigmoid = lambda x: 1 / (1 + np.exp(-x))


def test_a_cell_by_hand():
    """Cell (column 3, row 5) at stride 32 with the anchor 116 × 90 of YOLOv3."""
    anchor = jnp.array([[3.5 * 32 - 58, 5.5 * 32 - 45, 3.5 * 32 + 58, 5.5 * 32 + 45]])
    found = yolo.decode(jnp.array([[0.2, -0.5, 0.1, -0.3]]), anchor, jnp.array([32.0]))
    x, y = (sigmoid(0.2) + 3) * 32, (sigmoid(-0.5) + 5) * 32
    w, h = 116 * np.exp(0.1), 90 * np.exp(-0.3)
    np.testing.assert_allclose(found, [[x - w / 2, y - h / 2, x + w / 2, y + h / 2]], rtol=1e-6)
    np.testing.assert_allclose(found[0, :2], [113.59468 - 64.09991, 172.08131 - 33.33681], atol=2e-4)


def test_a_cell_of_the_first_version_by_hand():
    cells = jnp.zeros((7, 7, 2, 4)).at[2, 4, 1].set(jnp.array([0.25, 0.5, 0.6, 0.4]))
    x, y, w, h = 448 * (4.25 / 7), 448 * (2.5 / 7), 448 * 0.36, 448 * 0.16
    found = yolo.decode_cells(cells, (448, 448))[2, 4, 1]
    np.testing.assert_allclose(found, [x - w / 2, y - h / 2, x + w / 2, y + h / 2], rtol=1e-6)


def two_cells():
    """A map of 1 × 2 cells at stride 10, with two anchors each: 4 × 4 and 8 × 12."""
    half = np.array([[2.0, 2], [4, 6]])
    centres = np.array([[5.0, 5], [5, 5], [15, 5], [15, 5]])
    half = np.tile(half, (2, 1))
    return jnp.asarray(np.concatenate([centres - half, centres + half], 1)), jnp.full(4, 10.0)


def test_the_anchor_of_the_best_shape_in_the_cell_of_the_centre_answers():
    boxes = jnp.array([[12.0, 1, 17, 7], [1, 0, 9, 10], [10, 0, 17, 10], [0, 0, 0, 0]])
    there = jnp.array([True, True, True, False])
    truth = Truth(boxes, jnp.zeros(4, int), there)
    np.testing.assert_array_equal(yolo.claims(truth, *two_cells()), [-1, 1, 0, 2])
    both = Truth(boxes.at[2].set(boxes[1]), jnp.zeros(4, int), there)
    np.testing.assert_array_equal(yolo.claims(both, *two_cells()), [-1, 2, 0, -1])  # the later one


def outputs():
    rng = np.random.default_rng(0)
    anchors, strides = two_cells()
    found = dict(codes=rng.normal(0, 0.2, (4, 4)), objectness=rng.normal(size=4), logits=rng.normal(size=(4, 3)))
    return {name: (jnp.asarray(x),) for name, x in (found | dict(anchors=anchors, strides=strides)).items()}


def test_the_losses_term_by_term():
    box, label, size = np.array([1.0, 0, 9, 10]), 2, (10, 20)
    truth = Truth(jnp.asarray(box[None]), jnp.array([label]), jnp.array([True]))
    out = outputs()
    codes, o, logits = (np.asarray(out[name][0]) for name in ("codes", "objectness", "logits"))
    found = np.asarray(yolo.decode(out["codes"][0], out["anchors"][0], out["strides"][0]))
    sides = np.minimum(found[:, 2:], box[2:]) - np.maximum(found[:, :2], box[:2])
    shared = np.maximum(sides, 0).prod(1)
    iou = shared / ((found[:, 2:] - found[:, :2]).prod(1) + 80 - shared)
    nothing = [i for i in (0, 2, 3) if iou[i] <= 0.15]
    assert 0 < len(nothing) < 3
    small, scale = 2 - 80 / 200, np.log([8 / 8, 10 / 12])

    terms, weight = yolo.loss_v2(out, truth, size, {"object_weight": 5.0}, None, ignore=0.15)
    away = ((sigmoid(codes[1, :2]) - 0.5) ** 2 + (codes[1, 2:] - scale) ** 2).sum()
    softmax = logits[1] - np.log(np.exp(logits[1]).sum())
    expected = {
        "box": small * away / 2,
        "object": 5 * (sigmoid(o[1]) - iou[1]) ** 2 / 2,
        "nothing": (sigmoid(o[nothing]) ** 2).sum() / 2,
        "class": -softmax[label],
    }
    assert weight == 1
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-9, err_msg=name)

    terms, _ = yolo.loss_v3(out, truth, size, {}, None, ignore=0.15)
    cross = -(0.5 * np.log(sigmoid(codes[1, :2])) + 0.5 * np.log(sigmoid(-codes[1, :2]))).sum()
    p = sigmoid(logits[1])
    expected = {
        "box": small * (cross + ((codes[1, 2:] - scale) ** 2).sum() / 2),
        "object": -np.log(sigmoid(o[1])),
        "nothing": -np.log(sigmoid(-o[nothing])).sum(),
        "class": -np.log(np.where(np.arange(3) == label, p, 1 - p)).sum(),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-9, err_msg=name)


def test_the_first_version_term_by_term():
    """One object in the cell (row 0, column 1) of 2 × 2, of an image of 20 × 20."""
    rng = np.random.default_rng(1)
    out = {
        "logits": rng.normal(size=(2, 2, 3)),
        "confidence": rng.normal(size=(2, 2, 2)),
        "boxes": rng.uniform(0.2, 0.8, (2, 2, 2, 4)),
    }
    box, label = np.array([11.0, 2, 17, 12]), 1
    truth = Truth(jnp.asarray(box[None]), jnp.array([label]), jnp.array([True]))
    numbers = {"coord": 5.0, "noobj": 0.5}
    terms, weight = yolo.loss_of_cells(jax.tree.map(jnp.asarray, out), truth, (20, 20), numbers, None)
    found = out["boxes"][0, 1]
    x, y, w, h = ((found[:, 0] + 1) * 10, found[:, 1] * 10, 20 * found[:, 2] ** 2, 20 * found[:, 3] ** 2)
    across = np.minimum(x + w / 2, box[2]) - np.maximum(x - w / 2, box[0])
    down = np.minimum(y + h / 2, box[3]) - np.maximum(y - h / 2, box[1])
    shared = np.maximum(across, 0) * np.maximum(down, 0)
    iou = shared / (w * h + 60 - shared)
    best, c = iou.argmax(), out["confidence"]
    target = np.array([0.4, 0.7, np.sqrt(6 / 20), np.sqrt(10 / 20)])
    expected = {
        "box": 5 * ((found[best] - target) ** 2).sum(),
        "object": (c[0, 1, best] - iou[best]) ** 2,
        "nothing": 0.5 * ((c**2).sum() - c[0, 1, best] ** 2),
        "class": ((out["logits"][0, 1] - np.eye(3)[label]) ** 2).sum(),
    }
    assert weight == 1
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-9, err_msg=name)
