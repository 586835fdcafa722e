"""What `fovea ps`, `stop` and `compare` say of runs, from their work directories alone."""

import fcntl
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time

import pytest
from scipy.stats import ttest_ind

from experiments.commands.compare import compared
from experiments.pages import catalogue, stored
from experiments.pages.overrides import override
from experiments.runs.workdir import state
from training.records import read

ROOT = pathlib.Path(__file__).parents[2]


def folder(path, seed=0, lr=0.1, **summary) -> pathlib.Path:
    """A work directory as a run leaves it; without `summary`, of one that has not ended."""
    path.mkdir(parents=True)
    overrides = [("train.seed", str(seed)), ("schedule.peak", str(lr))]
    config = override(catalogue.load("mlp_digits"), overrides)
    (path / stored.STORED).write_text(json.dumps(stored.canonical(config)))
    records = [
        {"step": 2, "train/loss": 2.0, "time/examples_per_s": 100.0},
        {"step": 2, "validation/accuracy": 0.5, "validation/error": 0.5},
        {"step": 4, "train/loss": 1.0, "time/examples_per_s": 120.0, "time/utilisation": 0.4, "memory/peak_mb": 900.4},
        {"step": 4, "validation/accuracy": 0.4, "validation/error": 0.6},
    ]
    (path / "readings.json").write_text(json.dumps({"validation/accuracy": {"better": "max", "unit": "%"}}))
    (path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    if summary:
        (path / stored.SUMMARY).write_text(json.dumps(summary))
    return path


def test_states(tmp_path, trained):
    assert state(trained) == "finished"
    assert state(folder(tmp_path / "killed")) == "killed"
    said = {"interrupted": "interrupted", "failed": "failed: the loss is not finite"}
    for name, ended in said.items():
        (folder(tmp_path / name) / stored.LOCK).write_text(json.dumps({"pid": 1, "host": "a", "ended": f"{ended}\nat"}))
        assert state(tmp_path / name) == ended  # one line, however long the reason
    with (folder(tmp_path / "running") / stored.LOCK).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert state(tmp_path / "running") == "running"


def test_a_line_for_each_run(fovea, tmp_path):
    folder(tmp_path / "a" / "seed0")
    folder(tmp_path / "a" / "seed1")
    (folder(tmp_path / "b") / "checkpoints").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / stored.STORED).write_text('{"architectures": ["ViTModel"]}')
    lines = [line.split("│") for line in fovea("ps", tmp_path).out.splitlines() if "killed" in line]
    assert [line[1].strip() for line in lines] == ["a/seed0", "a/seed1", "b"]
    steps = catalogue.load("mlp_digits").train.steps
    best = "validation/accuracy 0.5"
    assert [cell.strip() for cell in lines[0][2:8]] == ["killed", f"4 of {steps:,}", "120", "40%", "900 MB", best]
    assert fovea("ps", tmp_path / "nowhere").error == f"fovea: there is no folder {tmp_path / 'nowhere'}\n"


def test_sets_of_the_page_are_listed_and_compared(fovea, tmp_path):
    """Of a page without a test and a validation set."""
    for name, error in (("a", 0.5), ("b", 0.25)):
        path = folder(tmp_path / name, **{"late/error": error, "readings": {"late/error": {"better": "min"}}})
        config = json.loads((path / stored.STORED).read_text())
        config["evaluate"] = {"late": {"split": "test"}}
        (path / stored.STORED).write_text(json.dumps(config))
        (path / "metrics.jsonl").write_text("".join(f'{{"step": 2, "late/error": {x}}}\n' for x in (error, 0.9)))
    out = fovea("ps", tmp_path).out
    assert "late/error 0.5 " in out and "late/error 0.25" in out
    (line,) = [line for line in fovea("compare", tmp_path / "a", tmp_path / "b").out.splitlines() if "late" in line]
    assert "-0.25 (better)" in line


def test_a_thousand_runs_are_listed_without_jax(tmp_path):
    first = folder(tmp_path / "0")
    for i in range(1, 1000):
        shutil.copytree(first, tmp_path / str(i))
    code = "import sys; from experiments.cli import main; main(); print('jax' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, "ps", tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.count("killed") == 1000 and done.stderr == "False\n"


def test_a_run_that_fails_leaves_word(fovea, small, tmp_path):
    result = fovea("train", "--config", "mlp_digits", "--workdir", tmp_path / "run", **small, **{"schedule.peak": 1e30})
    assert result.code == 2
    assert state(tmp_path / "run") == "failed: " + result.error.splitlines()[-1].removeprefix("fovea: ")


def test_stopped_and_gone_on(fovea, tmp_path):
    command = [sys.executable, "-m", "experiments.cli", "train", "--config", "mlp_digits", "--workdir", str(tmp_path)]
    steps = ["--config.train.steps=1000000", "--config.train.log_every=100"]
    process = subprocess.Popen([*command, *steps], cwd=ROOT, stderr=subprocess.DEVNULL)
    while process.poll() is None and not read(tmp_path):
        time.sleep(0.05)
    assert state(tmp_path) == "running"
    assert fovea("stop", tmp_path).code == 0
    assert process.wait() == 75
    assert state(tmp_path) == "interrupted"
    assert fovea("stop", tmp_path).error == f"fovea: nothing runs in {tmp_path}\n"


def test_a_run_on_another_machine_is_not_stopped(fovea, tmp_path):
    workdir = folder(tmp_path / "run")
    with (workdir / stored.LOCK).open("w") as handle:
        handle.write(json.dumps({"pid": os.getpid(), "host": platform.node() + "2"}))
        handle.flush()
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert "stop it there" in fovea("stop", workdir).error


def test_two_folders_of_seeds_compared(fovea, tmp_path):
    for seed, (a, b) in enumerate([(0.9, 0.95), (0.91, 0.96), (0.92, 0.94)]):
        folder(
            tmp_path / "a" / f"seed{seed}",
            seed,
            **{"test/accuracy": a, "readings": {"test/accuracy": {"better": "max"}}},
        )
        folder(tmp_path / "b" / f"seed{seed}", seed, lr=0.2, **{"test/accuracy": b})
    younger = json.loads((tmp_path / "a" / "seed1" / stored.STORED).read_text())
    del younger["track"]  # it was trained before there was such a section
    (tmp_path / "a" / "seed1" / stored.STORED).write_text(json.dumps(younger))
    out = fovea("compare", tmp_path / "a", tmp_path / "b").out
    assert f"schedule.peak: {tmp_path / 'a'} 0.1, {tmp_path / 'b'} 0.2" in out
    assert "train.seed" not in out
    assert "+0.04 (better)" in out
    cells = compared([0.9, 0.91, 0.92], [0.95, 0.96, 0.94])
    assert cells[:3] == ("0.91 ± 0.01 (3)", "0.95 ± 0.01 (3)", "+0.04")
    p = ttest_ind([0.9, 0.91, 0.92], [0.95, 0.96, 0.94], equal_var=False).pvalue
    assert float(cells[3]) == pytest.approx(p, rel=0.05)
    assert compared([0.9], [0.95])[3] == "one seed"
    folder(tmp_path / "c", **{"test/accuracy": 1.0})
    assert fovea("compare", tmp_path / "c", tmp_path / "c" / "checkpoints").error.startswith("fovea: no run has ended")
    folder(tmp_path / "a" / "other", lr=0.3, **{"test/accuracy": 1.0})
    assert "ran another page than" in fovea("compare", tmp_path / "a", tmp_path / "b").error
