"""Names of runs, classes and folders may hold any character, and a picture that fails costs a line, not the run."""

import json

import numpy as np
import pytest
from PIL import Image

from training import pictures
from training.checkpoint import Checkpoints

RUNS = ["resnet[wide]", "a*b?c", "x{y} $0_$10 #1", "100% [bold]", "né \u65e5\u672c", "-r; echo 'hi' & \"you\"", "[!a]"]
CLASSES = [
    "$0_$10",
    "[bold red]x",
    "<script>alert(1)</script>".replace("/", "\u2215"),
    "50%s {0}",
    "né",
    "a,b\"c'; d",
    "#&~",
]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_any_name_trains_and_reads_its_checkpoints(fovea, small, tmp_path, name):
    workdir = tmp_path / name
    first = fovea("train", "--config", "mlp_digits", "--workdir", workdir, **{**small, "train.steps": 2})
    assert first.code == 0, first.error
    assert Checkpoints(workdir / "checkpoints").steps() == [2]
    resumed = fovea("train", "--config", "mlp_digits", "--workdir", workdir, **{**small, "train.steps": 2})
    assert resumed.code == 0 and "damaged" not in resumed.error
    measured = fovea("eval", "--workdir", workdir)
    assert measured.code == 0 and "accuracy" in measured.out
    listed = fovea("ps", tmp_path).out
    assert name[:20] in listed and "finished" in listed
    page = fovea("report", tmp_path, "--out", tmp_path / "report.html")
    assert page.code == 0, page.error
    assert "<script>alert" not in (tmp_path / "report.html").read_text()


@pytest.fixture
def photos(tmp_path):
    """Three pictures of each class, in a folder that is called as a pattern."""
    random = np.random.default_rng(0)
    for label in CLASSES:
        folder = tmp_path / "photos [1-9]*" / label
        folder.mkdir(parents=True)
        for i in range(3):
            Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(folder / f"{i} [{label[:3]}].png")
    return tmp_path / "photos [1-9]*"


def test_classes_of_any_name_are_trained_drawn_and_answered(fovea, small, photos, tmp_path):
    keys = {"data.name": f"folder:{photos}", "data.channels": 1, "data.train": "train[:90%]", "data.validation": ""}
    keys |= {"data.test": "train[90%:]", "train.batch_size": 8, "data.augment": ""}
    done = fovea("train", "--config", "mlp_digits", "--workdir", tmp_path / "run", **{**small, **keys})
    assert done.code == 0, done.error
    assert {"confusion.png", "curves.png", "predictions.png"} <= {path.name for path in (tmp_path / "run").iterdir()}
    assert "could not be drawn" not in done.error
    answers = tmp_path / "answers.json"
    assert fovea("predict", "--workdir", tmp_path / "run", photos, "--json", answers).code == 0
    found = json.loads(answers.read_text())
    assert len(found) == 3 * len(CLASSES) and {answer["prediction"] for answer in found} <= set(CLASSES)
    assert fovea("data", "--config", "mlp_digits", "--out", tmp_path / "batch.png", **keys).code == 0
    page = fovea("report", tmp_path / "run", "--out", tmp_path / "report.html")
    assert page.code == 0, page.error


@pytest.mark.parametrize("text", ["$0_$10", "$\\frac{$", "two\nlines", "\\$", "100 % {x}"])
def test_names_are_drawn_literally(text):
    matrix = np.eye(2)
    assert pictures.pixels(pictures.confusion(matrix, (text, "other"))).size
    records = [{"step": step, f"train/{text.replace('/', '')}": float(step)} for step in (1, 2)]
    assert pictures.pixels(pictures.curves(records)).size
    rows = [{"params": {text: value, "b": 1.0}, "state": "complete", "value": 0.5} for value in ("x", text)]
    assert pictures.pixels(pictures.parallel(rows, text, "max")).size
    assert pictures.pixels(pictures.slices(rows, text, "max")).size
    assert pictures.pixels(pictures.importance({text: 0.4, "b": 0.6})).size
    assert pictures.pixels(pictures.examples(np.zeros((1, 4, 4, 1)), [text])).size


def test_a_picture_that_fails_costs_a_line_and_not_the_run(fovea, small, tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no such glyph\nand more")

    monkeypatch.setattr(pictures, "confusion", broken)
    workdir = tmp_path / "run"
    done = fovea("train", "--config", "mlp_digits", "--workdir", workdir, **small)
    assert done.code == 0
    assert "fovea: confusion.png could not be drawn: ValueError: no such glyph\n" in done.error
    assert "test/accuracy" in json.loads((workdir / "summary.json").read_text())
    assert (workdir / "mistakes.png").exists() and not (workdir / "confusion.png").exists()


def test_numbers_are_saved_before_pictures_are_drawn(fovea, small, tmp_path, monkeypatch):
    saved, draw = [], pictures.curves
    look = lambda *arguments: (saved.append((tmp_path / "run" / "summary.json").exists()), draw(*arguments))[1]
    monkeypatch.setattr(pictures, "curves", look)
    assert fovea("train", "--config", "mlp_digits", "--workdir", tmp_path / "run", **small).code == 0
    assert saved == [True]


def test_a_snapshot_that_fails_costs_a_line(fovea, small, tmp_path, monkeypatch):
    from experiments.evaluation.snapshots import Snapshots

    def broken(*_):
        raise RuntimeError("no room")

    monkeypatch.setattr(Snapshots, "take", broken)
    done = fovea("train", "--config", "mlp_digits", "--workdir", tmp_path / "run", **small)
    assert done.code == 0 and "the snapshot of step 4 could not be drawn: RuntimeError: no room" in done.error
    assert "validation/accuracy" in (tmp_path / "run" / "metrics.jsonl").read_text()
