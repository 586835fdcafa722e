"""Average precision: equal to pycocotools' on a golden, and by hand where there is nothing to count."""

import types

import numpy as np
import pytest

from tests.goldens.record import HERE
from training.metrics.boxes import NAMES, AveragePrecision

WHOLE = np.array([[1.0, 0, 0], [0, 1, 0]])


def source(truths, classes=3):
    return types.SimpleNamespace(
        info=types.SimpleNamespace(classes=tuple(map(str, range(classes)))), truth=lambda ids: [truths[i] for i in ids]
    )


def truth(boxes, labels, **more):
    return {"boxes": np.array(boxes, float).reshape(-1, 4), "labels": np.array(labels, int), "matrix": WHOLE, **more}


def rows(boxes, labels, scores):
    """One image."""
    return {"boxes": np.array([boxes], float), "labels": np.array([labels]), "scores": np.array([scores], float)}


@pytest.mark.parametrize("matrix", [WHOLE, np.array([[0.5, 0, 16], [0, 0.25, 0]])])
def test_it_is_that_of_pycocotools(matrix):
    """Crowds, images without objects, without answers and without both; ties; more than 100 boxes in an image."""
    golden = np.load(HERE / "boxes.npz")
    images, true, found = int(golden["images"]), golden["true"], golden["found"]
    truths, own = [], []
    most = max(np.bincount(found[:, 0].astype(int)))
    for i in range(images):
        t, d = true[true[:, 0] == i], found[found[:, 0] == i]
        truths.append(truth(t[:, 1:5], t[:, 5], crowd=t[:, 6] > 0) | {"matrix": matrix})
        on_canvas = d[:, 1:5].reshape(-1, 2) @ matrix[:, :2].T + matrix[:, 2]
        padding = ((0, most - len(d)), (0, 0))
        own.append(
            {
                "boxes": np.pad(on_canvas.reshape(-1, 4), padding),
                "labels": np.pad(d[:, 5].astype(int), padding[0], constant_values=-1),
                "scores": np.pad(d[:, 6], padding[0]),
            }
        )
    evaluator = AveragePrecision()
    sink = evaluator.start(source(truths, int(golden["classes"])))
    order = np.random.default_rng(0).permutation(images)
    for ids in np.array_split(order, 3):
        sink.add(ids, {name: np.stack([own[i][name] for i in ids]) for name in evaluator.needs})
    numbers = sink.compute()
    np.testing.assert_allclose([numbers[name] for name in NAMES], golden["stats"][:6], rtol=1e-6)


def test_by_hand():
    """Two objects of one class: one is found at an IoU of 0.8, so the precision is 1 up to a recall of ½."""
    sink = AveragePrecision().start(source([truth([[0, 0, 50, 50], [60, 60, 110, 110]], [1, 1])]))
    sink.add(np.array([0]), rows([[0, 0, 50, 40], [200, 200, 250, 250]], [1, 1], [0.9, 0.8]))
    numbers = sink.compute()
    half = 51 / 101  # of COCO's 101 recalls those up to 0.50
    assert numbers["ap50"] == numbers["ap75"] == pytest.approx(half)
    assert numbers["ap"] == pytest.approx(0.7 * half)  # 0.50, 0.55, ..., 0.80
    assert numbers["ap_medium"] == numbers["ap"]
    assert np.isnan(numbers["ap_small"]) and np.isnan(numbers["ap_large"])


def test_a_class_that_is_not_there_does_not_count_and_nothing_found_is_zero():
    sink = AveragePrecision().start(source([truth([[0, 0, 50, 50]], [0]), truth([], [])]))
    sink.add(np.array([1]), rows(np.zeros((1, 4)), [2], [0.9]))
    sink.add(np.array([0]), rows(np.zeros((1, 4)), [-1], [0.9]))
    assert sink.compute()["ap"] == 0


def test_the_area_of_the_truth_decides_what_is_small():
    boxes = [[0, 0, 50, 50]]
    sink = AveragePrecision().start(source([truth(boxes, [0], area=np.array([900.0]))]))
    sink.add(np.array([0]), rows(boxes, [0], [1]))
    numbers = sink.compute()
    assert numbers["ap_small"] == pytest.approx(1) and np.isnan(numbers["ap_medium"])
    assert numbers.keys() == AveragePrecision.readings.keys()
