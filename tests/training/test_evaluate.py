"""One pass over a split: sums and rows of every example once, on any placement, for one run and for several."""

import dataclasses
import types

import jax
import numpy as np
import pytest

from training import metrics, parallel
from training.errors import TrainingError
from training.evaluate import (
    evaluate_set,
    evaluate_slots,
    make_evaluate_step,
    makes_nothing,
    needs,
    readings,
    score,
)
from training.metrics import classification
from training.metrics.readings import Reading
from training.task import Task

N, SIZE = 37, 16  # examples of the split, and of a batch
KEY = jax.random.key_data(jax.random.key(0))


class Rows:
    """An evaluator whose sinks keep what they are given."""

    needs, readings = ("square", "value"), types.MappingProxyType({"largest": Reading("max")})

    def __init__(self):
        self.sinks = []

    def start(self, source, draw):
        self.sinks.append(Kept(source))
        return self.sinks[-1]


class Kept:
    def __init__(self, source):
        self.source, self.given = source, []

    def add(self, ids, rows):
        self.given.append((ids, rows))

    def compute(self):
        return {"largest": float(max(rows["square"].max() for _, rows in self.given))}


def task(**fields) -> Task:
    def predict(params, stats, batch, key, frozen):
        return {"square": params["model"]["scale"] * batch["value"] ** 2}

    measures = {"mean": metrics.mean("square", "mean", "min", "dB")}
    return Task(("model",), init=None, loss=None, predict=predict, metrics=measures, **{"best": "mean", **fields})


def feeds():
    """Every example once; the last batch is filled up with others, which do not count."""
    for start in range(0, N, SIZE):
        ids = np.minimum(start + np.arange(SIZE), N - 1).astype(np.int32)
        mask = start + np.arange(SIZE) < N
        yield {"id": ids, "value": np.where(mask, ids, 1000).astype(np.float32), "mask": mask}


@pytest.mark.parametrize(("kind", "fsdp"), [("pmap", 1), ("mesh", 1), ("mesh", 4)])
def test_one_pass_serves_sums_and_evaluators_on_any_placement(kind, fsdp):
    placed, own, evaluators = parallel.devices(kind, fsdp), task(), {"rows": Rows()}
    step = placed.evaluate_step(make_evaluate_step(own, lambda batch: batch, needs(evaluators)))
    params, empty, key = placed.put({"model": {"scale": np.float32(2)}}), placed.put({}), placed.put(KEY)
    numbers = evaluate_set(
        lambda feed: step(params, empty, empty, feed, empty, key),
        map(placed.put_batch, feeds()),
        placed,
        task=own,
        source="the split",
        evaluators=evaluators,
    )
    values = np.arange(N, dtype=np.float64)
    assert numbers == {"mean": pytest.approx(2 * (values**2).mean()), "largest": 2 * 36.0**2}
    (sink,) = evaluators["rows"].sinks
    assert sink.source == "the split" and len(sink.given) == 3
    np.testing.assert_array_equal(np.concatenate([ids for ids, _ in sink.given]), np.arange(N))
    for ids, rows in sink.given:
        assert set(rows) == {"square", "value"}  # an output, and a field of the batch
        np.testing.assert_array_equal(rows["value"], ids)


def test_without_evaluators_no_row_leaves_the_devices():
    step = make_evaluate_step(task(), lambda batch: batch)
    _, rows = jax.eval_shape(step, {"model": {"scale": 1.0}}, {}, {}, next(feeds()), {}, KEY)
    assert rows == {}


def test_a_batch_is_dispatched_before_the_one_before_is_read():
    """So that the devices do not idle; and no more than that, so that memory stays bounded."""
    dispatched, read = [], []

    class Watched:
        get = staticmethod(lambda sums: read.append(len(dispatched)) or jax.device_get(sums))

    def step(feed):
        dispatched.append(feed)
        return {"mean": {"sum": np.float32(1), "count": np.int32(1)}}, {}

    assert evaluate_set(step, range(4), Watched, task=task(), source=None) == {"mean": 1.0}
    assert read == [2, 3, 4, 4]


def test_sums_do_not_lose_small_terms():
    sums = [2.0**24, 1.0, 1.0]
    step = lambda x: ({"mean": {"sum": np.float32(x), "count": np.int32(1)}}, {})
    host = type("Host", (), {"get": staticmethod(lambda x: x)})
    assert evaluate_set(step, sums, host, task=task(), source=None)["mean"] == (2.0**24 + 2) / 3


def test_several_runs_in_one_program_are_evaluated_alike():
    slots, own = parallel.slots(8), task(evaluators={"rows": Rows()})
    step = slots.evaluate_step(make_evaluate_step(own, lambda batch: batch, ("square", "value")))
    params = slots.put_all([{"model": {"scale": np.float32(i)}} for i in range(8)])
    keys, stats, places = slots.put_all([KEY] * 8), slots.put_all([{}] * 8), slots.places(3)
    found = evaluate_slots(
        lambda feed: step(slots.load(3), params, stats, keys, {}, feed, {}),
        map(slots.put, feeds()),
        slots,
        dict.fromkeys(places, makes_nothing),
        task=own,
        source=None,
    )
    assert list(found) == places
    for place in places:
        assert found[place]["mean"] == pytest.approx(place * (np.arange(N) ** 2).mean())
        assert found[place]["largest"] == place * 36.0**2


def test_readings_are_listed_without_running():
    own = task(evaluators={"rows": Rows()})
    assert readings(own) == {"mean": Reading("min", "dB"), "largest": Reading("max")}
    assert list(readings(own, {})) == ["mean"]
    with pytest.raises(TrainingError, match="two metrics are called 'largest'"):
        readings(own, {"a": Rows(), "b": Rows()})


def test_checkpoints_are_ranked_by_the_reading():
    numbers = {"mean": 3.0, "largest": 2.0}
    assert score(task(), numbers) == -3.0
    assert score(task(best="largest", evaluators={"rows": Rows()}), numbers) == 2.0
    assert score(task(best=""), numbers) is None
    with pytest.raises(TrainingError, match="ranks checkpoints by '-mean', which it does not compute: did you mean"):
        score(task(best="-mean"), numbers)
    classes = {"confusion": classification.confusion(2)}
    with pytest.raises(TrainingError, match="'per_class_accuracy', which is an array and not one number"):
        score(dataclasses.replace(task(best="per_class_accuracy"), metrics=classes), {"per_class_accuracy": np.ones(2)})
    without = {"mean": metrics.mean("square", "mean")}
    with pytest.raises(TrainingError, match="'mean', but neither direction of it is better"):
        score(dataclasses.replace(task(), metrics=without), numbers)


def test_a_need_that_is_not_there_is_one_clear_line():
    step = make_evaluate_step(task(), lambda batch: batch, ("squares",))
    message = "needs 'squares', which is neither an output nor a field: did you mean 'square'"
    with pytest.raises(TrainingError, match=message):
        jax.eval_shape(step, {"model": {"scale": 1.0}}, {}, {}, next(feeds()), {}, KEY)


def test_numbers_without_a_reading_are_refused():
    odd = dataclasses.replace(metrics.mean("square", "mean"), readings={})
    step = lambda feed: ({"mean": {"sum": np.float32(1), "count": np.int32(1)}}, {})
    host = type("Host", (), {"get": staticmethod(lambda x: x)})
    with pytest.raises(TrainingError, match="the number 'mean' has no Reading"):
        evaluate_set(step, [0], host, task=dataclasses.replace(task(), metrics={"mean": odd}), source=None)
    odd = dataclasses.replace(odd, readings={"mean": Reading("max", each=True)})
    with pytest.raises(TrainingError, match="'mean' is a number, but its Reading is that of each entry of an array"):
        evaluate_set(step, [0], host, task=dataclasses.replace(task(), metrics={"mean": odd}), source=None)
    with pytest.raises(TrainingError, match="has no examples"):
        evaluate_set(step, [], host, task=task(), source=None)
