"""Numbers that are not numbers, and splits in which nothing counts: they rank nothing and are shown as "–"."""

import json

import numpy as np
import pytest

from data.source import ArraySource, Info
from experiments.commands.ps import look
from experiments.pages import page
from experiments.runs.debug import overfit
from experiments.runs.readings import shown
from experiments.runs.run import build
from tests.experiments.tiny import tiny
from training.errors import TrainingError
from training.records import read, table


def rewrite(workdir, change):
    """The records of a run after `change`, which edits each in place."""
    path = workdir / "metrics.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        change(record)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_a_score_that_is_not_a_number_is_not_the_best_in_ps(tmp_path):
    config = page(
        paper=dict(metric="validation/accuracy"),
        model=dict(name="mlp", hidden=(4,)),
        task=dict(name="classification"),
        data=dict(name="digits", train="train[:64]", validation="train[64:96]", test=""),
        optimizer=dict(name="sgd"),
        schedule=dict(name="constant"),
        train=dict(batch_size=16, steps=4, log_every=2, evaluate_every=2, checkpoint_every=2, evaluate_batch_size=16),
    )
    build(config, tmp_path).train(quiet=True)

    def spoil(record):
        if "validation/accuracy" in record:
            record["validation/accuracy"] = 0.75 if record["step"] == 2 else None

    rewrite(tmp_path, spoil)
    assert look(tmp_path)["best"] == "validation/accuracy 0.75"


def test_what_was_not_measured_is_shown_as_a_dash():
    assert shown({"test/error": {"unit": "%"}}, "test/error", None) == "–"
    assert shown({}, "test/iou", [None, None]) == "–"
    cells = [list(column.cells) for column in table({"a": None, "b": float("nan"), "c": 0.5}).columns]
    assert cells[1] == ["–", "–", "0.5"]


@pytest.fixture
def segmented(tmp_path):
    """measure(void) -> the numbers of a tiny U-Net on six pictures, of which the masks of `void` are void."""
    run = build(tiny("unet_scenes", tmp_path))
    state = run.devices.put_state(run.parts.initial_state())
    whole = run.parts.source("validation")

    def measure(void, kept=6):
        masks = whole.arrays["masks"][:kept].copy()
        masks[void] = -1
        arrays = {name: x[:kept] for name, x in whole.arrays.items()}
        run.parts.source = lambda name: ArraySource({**arrays, "masks": masks}, Info(**vars(whole.info)))
        run.parts.resident = lambda name: run.devices.put(run.parts.source(name).arrays)
        return run._measure(state, "validation")

    return measure


def test_a_split_that_is_all_void_reports_no_cross_entropy(segmented):
    numbers = segmented(slice(None))
    assert np.isnan(numbers["cross_entropy"]) and np.isnan(numbers["pixel_accuracy"])


def test_the_mean_goes_over_what_counts(segmented):
    assert segmented([4, 5])["cross_entropy"] == pytest.approx(segmented([], kept=4)["cross_entropy"], rel=1e-5)


def test_training_steps_in_which_nothing_counts_are_in_no_record(tmp_path):
    labels = np.repeat(np.arange(2), 16)
    np.savez(
        tmp_path / "set.npz",
        x_train=np.zeros((32, 4, 4, 1), np.uint8),
        y_train=np.full(32, -1),
        x_validation=np.zeros((32, 4, 4, 1), np.uint8),
        y_validation=labels,
    )
    config = page(
        model=dict(name="mlp", hidden=(4,)),
        task=dict(name="classification"),
        data=dict(name=f"npz:{tmp_path}/set.npz", train="train", validation="validation", test=""),
        optimizer=dict(name="sgd"),
        schedule=dict(name="constant"),
        train=dict(batch_size=16, steps=4, log_every=2, evaluate_every=4, checkpoint_every=4, evaluate_batch_size=16),
    )
    build(config, tmp_path / "run").train(quiet=True)
    records = read(tmp_path / "run")
    assert [record["step"] for record in records if "time/examples_per_s" in record] == [2, 4]
    assert {name for record in records for name in record if name.startswith("train/")} == {"train/learning_rate"}
    assert any(record.get("validation/cross_entropy") for record in records)
    with pytest.raises(TrainingError, match="nothing in this batch has a label"):
        overfit(config)
