"""Retrieval against its definition, written as loops."""

import types

import numpy as np
import pytest

from training.errors import TrainingError
from training.metrics.retrieval import Retrieval, retrieval

RANDOM = np.random.RandomState(0)


def by_definition(x, labels, k):
    """(recall@k, map)."""
    hits, precisions = [], []
    for q in range(len(x)):
        others = [i for i in range(len(x)) if i != q]
        others.sort(key=lambda i: np.sum((x[i] - x[q]) ** 2))
        right = [labels[i] == labels[q] for i in others]
        if not any(right):
            continue
        hits.append(any(right[:k]))
        precisions.append(np.mean([np.mean(right[: i + 1]) for i in range(len(right)) if right[i]]))
    return np.mean(hits), np.mean(precisions)


def split_of(labels):
    return types.SimpleNamespace(labels=lambda: np.array(labels))


def passed(rows, ids, parts=1, **options):
    """(the numbers, what is retrieved) of one pass that comes in `parts`."""
    evaluator = Retrieval(**options)
    sink = evaluator.start(split_of(rows["label"]), None)
    for part in np.array_split(np.arange(len(ids)), parts):
        sink.add(ids[part], {name: rows[name][part] for name in evaluator.needs})
    found = sink.compute()
    return found, found.pop("retrieved").tolist()


def test_recall_and_map_follow_their_definition():
    x, labels = RANDOM.normal(size=(40, 3)), RANDOM.randint(0, 6, 40)
    labels[7] = 99  # alone in its class
    found = retrieval(x, labels, (1, 3))
    for k in (1, 3):
        np.testing.assert_allclose((found[f"recall_at_{k}"], found["map"]), by_definition(x, labels, k))
    assert found["recall_at_1"] < found["recall_at_3"] < 1


def test_queries_in_chunks_give_the_same_numbers(monkeypatch):
    x, labels = RANDOM.normal(size=(23, 3)), RANDOM.randint(0, 4, 23)
    whole = retrieval(x, labels, (1, 5))
    monkeypatch.setattr("training.metrics.retrieval.CHUNK", 4)
    assert retrieval(x, labels, (1, 5)) == whole


def test_ties_do_not_depend_on_the_order_of_arrival():
    rows = {"embedding": RANDOM.randint(0, 2, (30, 2)).astype(np.float32), "label": RANDOM.randint(0, 3, 30)}
    ids, order = np.arange(30), RANDOM.permutation(30)
    shuffled = {name: x[order] for name, x in rows.items()}
    assert passed(rows, ids) == passed(shuffled, ids[order], parts=4)


def test_examples_without_a_class_are_left_out():
    rows = {"embedding": RANDOM.normal(size=(20, 2)), "label": RANDOM.randint(-1, 3, 20)}
    known = rows["label"] >= 0
    assert 0 < known.sum() < 20
    found, pairs = passed(rows, np.arange(20))
    assert found == retrieval(rows["embedding"][known], rows["label"][known], (1, 5))
    assert known[pairs].all()


def test_the_nearest_example_is_looked_for_in_the_whole_split():
    rows = {"embedding": RANDOM.normal(size=(40, 3)), "label": RANDOM.randint(0, 3, 40)}
    x, ids = rows["embedding"], np.arange(40) + 100
    _, pairs = passed(rows, ids, parts=20)
    assert [query for query, _ in pairs] == [100, 105, 111, 116, 122, 127, 133, 139]
    for query, nearest in pairs:
        others = np.delete(np.arange(40), query - 100)
        assert nearest - 100 == min(others, key=lambda i: np.sum((x[i] - x[query - 100]) ** 2))


def test_a_split_without_pairs_gives_nan():
    found = retrieval(RANDOM.normal(size=(3, 2)), np.arange(3), (1,))
    assert np.isnan(found["recall_at_1"]) and np.isnan(found["map"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0, 1, 1, -1], "recall@5 needs 6 examples with a class or more, the split has 4"),
        ([0, 1, 2, 3, 4, 5, -1, -1], "two examples of a class"),
    ],
)
def test_a_split_that_is_too_small_is_refused_before_it_is_measured(labels, message):
    with pytest.raises(TrainingError, match=message):
        Retrieval(ks=(1, 5)).start(split_of(labels), None)


def test_every_number_has_a_reading():
    evaluator = Retrieval(ks=(1, 2))
    found, _ = passed(
        {"embedding": RANDOM.normal(size=(6, 2)), "label": np.array([0, 0, 1, 1, 2, 2])}, np.arange(6), ks=(1, 2)
    )
    assert set(found) == set(evaluator.readings) == {"recall_at_1", "recall_at_2", "map"}
    assert {reading.better for reading in evaluator.readings.values()} == {"max"}


@pytest.mark.parametrize("k", [1, 50])
def test_k_beyond_the_split_is_the_whole_split(k):
    found = retrieval(np.array([[0.0], [5.0], [1.0], [6.0]]), np.array([0, 0, 1, 1]), (k,))
    assert found[f"recall_at_{k}"] == float(k == 50)
