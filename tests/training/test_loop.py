"""The loop with a step that only counts: what it records and saves when, and how it stops."""

import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training import loop
from training.errors import TrainingError
from training.journal import Intervals, Journal
from training.loop import Interrupted


class Device:
    """A placement that leaves everything where it is."""

    def get(self, tree):
        return jax.tree.map(np.asarray, tree)


class Kept:
    """Checkpoints in memory: step -> (window, score)."""

    def __init__(self):
        self.saved = {}

    def save(self, step, state, body, score):
        assert int(state) == step
        self.saved[step] = (len(body["window"]), score)

    def steps(self):
        return sorted(self.saved)

    def wait(self):
        pass


class Written:
    """Records in memory: a list of (step, values)."""

    def __init__(self):
        self.rows = []

    def write(self, step, values):
        self.rows.append((step, values))

    def say(self, line):
        pass

    def advance(self, step):
        pass


def run(intervals, *, start=0, window=(), broken=None, void=(), stop_at=None):
    """Trains with the loss t at step t; `broken` = (metric, step) is NaN there; nothing counts in the steps `void`.

    Returns (records, checkpoints, what has ended it).
    """
    calls = intervals.steps_per_call

    def step(state, resident, feed, frozen, hyper):
        numbers = state + 1.0 + jnp.arange(calls) if calls > 1 else state + 1.0
        metrics = {"accuracy": numbers, "loss": numbers, "parameter_norm": numbers}
        if void:
            metrics["counted"] = ~jnp.isin(numbers, jnp.array(void))
        if broken:
            metrics[broken[0]] = jnp.where(numbers == broken[1], jnp.nan, numbers)
        return state + calls, metrics

    records, checkpoints, asked = Written(), Kept(), iter(range(start + calls, intervals.steps + 1, calls))
    window = [{"accuracy": t, "loss": t, "parameter_norm": t} for t in window]
    evaluate = lambda state: ({"validation/accuracy": 0.5}, float(state))
    placed = loop.Alone(step, jnp.asarray(start), ({}, {}, {}), Device(), evaluate)
    progress = loop.Progress(Journal(intervals, checkpoints, records, window, body={}), start)
    stop = lambda boundary: next(asked) == stop_at
    try:
        loop.train(placed, [progress], feeds=itertools.repeat({}), stop=stop, examples_per_step=8)
    except TrainingError as error:
        return records.rows, checkpoints, error
    return records.rows, checkpoints, progress.error


def losses(records):
    return {step: values["train/loss"] for step, values in records if "train/loss" in values}


@pytest.mark.parametrize("calls", (1, 2))
def test_each_record_is_the_mean_since_the_last(calls):
    records, checkpoints, _ = run(Intervals(10, calls, log=4, evaluate=6, checkpoint=2))
    assert losses(records) == {4: 2.5, 8: 6.5, 10: 9.5}
    assert [step for step, values in records if "validation/accuracy" in values] == [6, 10]
    # A checkpoint between two records has the metrics of the steps since the last.
    assert checkpoints.saved == {2: (2, None), 4: (0, None), 6: (2, 6.0), 8: (0, None), 10: (0, 10.0)}


@pytest.mark.parametrize("calls", (1, 2))
def test_a_step_in_which_nothing_counts_is_in_no_mean(calls):
    records, checkpoints, error = run(Intervals(12, calls, log=4, evaluate=12, checkpoint=6), void=(1, 2, 5, 6, 7, 8))
    assert error is None and losses(records) == {4: 3.5, 12: 10.5}  # and none at step 8, which has a record
    assert not any("counted" in name or "accuracy" in name for name in dict(records)[8])
    assert any(step == 8 and "time/examples_per_s" in values for step, values in records)
    assert checkpoints.saved[6] == (2, None)


def test_parameters_that_are_not_finite_end_a_run_even_where_nothing_counts():
    _, _, error = run(Intervals(4, 1, 4, 4, 4), broken=("parameter_norm", 2), void=(2,))
    assert "parameter_norm is nan at step 2" in str(error)


def test_of_two_players_the_one_for_which_nothing_counts_is_left_out():
    journal = Journal(Intervals(2, 1, 2, 2, 2), Kept(), Written(), [], body={})
    journal.add(1, {"critic/loss": 0.0, "critic/counted": 0.0, "generator/loss": 2.0, "generator/counted": 1.0})
    assert journal.window == [{"generator/loss": 2.0}]


def test_a_resumed_window_is_completed():
    records, _, _ = run(Intervals(10, 1, log=4, evaluate=10, checkpoint=10), start=2, window=(1.0, 2.0))
    assert losses(records) == {4: 2.5, 8: 6.5, 10: 9.5}


@pytest.mark.parametrize("calls", (1, 2))
@pytest.mark.parametrize("metric", ("loss", "parameter_norm"))
@pytest.mark.parametrize("at", (5, 6, 7))
def test_what_is_not_finite_names_the_step_and_is_not_saved(calls, metric, at):
    records, checkpoints, error = run(Intervals(12, calls, log=12, evaluate=12, checkpoint=4), broken=(metric, at))
    assert f"{metric} is nan at step {at}:" in str(error) and "the last good checkpoint is step 4 " in str(error)
    assert checkpoints.steps() == [4] and not records


def test_what_is_not_finite_after_a_resume_names_the_step():
    _, _, error = run(Intervals(10, 1, 10, 10, 10), start=3, window=(1.0, 2.0, 3.0), broken=("loss", 5))
    assert "loss is nan at step 5: the run stops; nothing was saved yet" in str(error)


def test_another_metric_may_be_anything():
    _, _, error = run(Intervals(4, 1, 4, 4, 4), broken=("accuracy", 2))
    assert error is None


def test_asked_to_stop_it_saves_but_ranks_nothing():
    """Whether a run was interrupted must not decide which of its checkpoints is the best."""
    _, checkpoints, error = run(Intervals(10, 1, log=4, evaluate=3, checkpoint=10), stop_at=3)
    assert isinstance(error, Interrupted) and checkpoints.saved == {3: (3, None)}


def test_a_fork_that_does_not_fit_the_steps_per_call():
    _, _, error = run(Intervals(10, 2, 2, 2, 2), start=3)
    assert "cannot resume at step 3: not a multiple of train.steps_per_call=2" in str(error)


@pytest.mark.parametrize("name", ("steps", "log", "evaluate", "checkpoint"))
def test_intervals_are_whole_calls(name):
    key = {"steps": "train.steps=15"}.get(name, f"train.{name}_every=15")
    with pytest.raises(TrainingError, match=f"{key} is not a positive multiple of train.steps_per_call=10"):
        Intervals(**{**dict(steps=20, steps_per_call=10, log=20, evaluate=20, checkpoint=20), name: 15})


class Slow:
    """A step that the device takes `SECONDS` for: dispatched at once, awaited when its metrics are read."""

    SECONDS = 0.01

    def __init__(self):
        self.free = 0.0

    def count_macs(self, feed):
        return 0

    def advance(self, feed):
        self.free = max(self.free, time.perf_counter()) + self.SECONDS
        return {"loss": np.float32(1), "parameter_norm": np.float32(1)}

    def numbers(self, recent):
        time.sleep(max(0.0, self.free - time.perf_counter()))
        return [recent]

    def evaluate(self, n):
        time.sleep(10 * self.SECONDS)
        return {}, None

    def state(self, n):
        return self.step


def test_the_recorded_speed_is_that_of_the_devices_without_evaluation():
    """At most what the device can do; an evaluation as long as the training in between would halve it."""
    records, placed = Written(), Slow()
    progress = loop.Progress(Journal(Intervals(40, 1, 10, 10, 80), Kept(), records, [], body={}), 0)
    placed.step = 40
    loop.train(placed, [progress], feeds=itertools.repeat({}), stop=lambda _: False, examples_per_step=1)
    speeds = [values["time/examples_per_s"] for _, values in records.rows if "time/examples_per_s" in values]
    assert len(speeds) == 4 and max(speeds[1:]) <= 1.02 / Slow.SECONDS


def test_a_metric_of_a_step_is_one_number():
    step = lambda state, *_: (state + 1, {"loss": state, "parameter_norm": state, "each": jnp.zeros(3)})
    placed = loop.Alone(step, jnp.asarray(0.0), ({}, {}, {}), Device(), lambda state: ({}, None))
    progress = loop.Progress(Journal(Intervals(2, 1, 2, 2, 2), Kept(), Written(), [], body={}), 0)
    loop.train(placed, [progress], feeds=itertools.repeat({}), stop=lambda _: False, examples_per_step=1)
    assert "'each' of a step is not one number, but 3" in str(progress.error)


@pytest.mark.parametrize(("macs", "peak", "recorded"), [(5, 100.0, True), (5, None, False), (0, 100.0, False)])
def test_records_say_the_share_of_the_peak_where_it_is_known(macs, peak, recorded):
    """Two operations for each multiply-add; and every record says the memory in use at most."""
    records, step = Written(), lambda state, *_: (state + 1, {"loss": state, "parameter_norm": state})
    count = lambda *arguments: macs
    placed = loop.Alone(step, jnp.asarray(0.0), ({}, {}, {}), Device(), lambda state: ({}, None), count)
    progress = loop.Progress(Journal(Intervals(4, 1, 2, 4, 4), Kept(), records, [], body={}), 0)
    loop.train(placed, [progress], feeds=itertools.repeat({}), stop=lambda _: False, examples_per_step=1, peak=peak)
    (_, values), *_ = records.rows
    assert ("time/utilisation" in values) == recorded and values["memory/peak_mb"] > 50
    if recorded:
        assert values["time/utilisation"] == pytest.approx(2 * 5 * values["time/examples_per_s"] / 100)
