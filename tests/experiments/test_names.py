"""A run, its data and its classes may have any names: they pass every tool unchanged."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from experiments.errors import PageError
from experiments.launch import FOVEA, printed, submit
from experiments.report.gather import gather
from experiments.report.render import render
from experiments.runs.workdir import state

NAMES = [
    "resnet[wide] *?",
    "$0_$10 100%d \\",
    "[bold]:smile: <b>&amp;'\"",
    "a\nb\tc $(touch x) `y`",
    "日本 é #;=,{}",
    os.fsdecode(b"caf\xe9"),
    "-" + 200 * "x",
]


@pytest.fixture
def data(tmp_path):
    """data(name) -> the overrides for a folder of this name that has a class of this name, with a file of it."""

    def make(name: str) -> dict:
        rng = np.random.default_rng(0)
        for split in ("train", "test"):
            for label in (name, "_"):
                folder = tmp_path / "data" / name / split / label
                folder.mkdir(parents=True)
                for i in range(8):
                    Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(folder / f"{name[:100]}{i}.png")
        return {
            "data.name": f"folder:{tmp_path / 'data' / name}",
            "data.channels": 1,
            "data.train": "train",
            "data.validation": "train[:4]",
            "data.test": "test",
        }

    return make


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_run_of_any_name_goes_through_every_command(fovea, small, data, tmp_path, name):
    workdir, overrides = (
        tmp_path / name / name,
        {**data(name), **small, "train.batch_size": 8, "track.to": "tensorboard"},
    )
    (tmp_path / name).mkdir()
    sys.stdout.reconfigure(errors="backslashreplace")  # a process of its own writes the bytes themselves
    first = fovea("train", "--config", "mlp_digits", f"--workdir={workdir}", **overrides)
    assert first.code == 0 and "no picture" not in first.error
    assert "Glyph" not in first.error and "16 images, 2 classes" not in first.out
    assert first.error.count("32 images, 2 classes (") == 1
    assert (workdir / "summary.json").exists() and any((workdir / "events").iterdir())
    assert {"curves.png", "confusion.png", "mistakes.png"} <= {path.name for path in workdir.glob("*.png")}

    (workdir / "summary.json").unlink()
    again = fovea("train", "--config", "mlp_digits", f"--workdir={workdir}", **overrides)
    assert again.code == 0 and "resuming from step 4" in again.error
    assert fovea("eval", "--workdir", str(workdir)).code == 0 and (workdir / "eval.json").exists()
    listed = fovea("ps", str(tmp_path / name))
    assert listed.code == 0 and "finished" in listed.out
    assert fovea("compare", str(workdir), str(workdir)).code == 0
    pictures = tmp_path / "data" / name / "test" / name
    found = fovea("predict", "--workdir", workdir, "--json", tmp_path / "found.json", pictures)
    assert found.code == 0, found.error
    answers = json.loads((tmp_path / "found.json").read_text())
    assert {answer["prediction"] for answer in answers} <= {name, "_"} and len(answers) == 8
    assert {pathlib.Path(answer["file"]) for answer in answers} == set(pictures.iterdir())

    text = render(gather([tmp_path / name]))
    (shown,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert json.loads(shown)["runs"][0]["config"]["data"]["name"] == overrides["data.name"]
    assert fovea("report", str(tmp_path / name), "--out", str(tmp_path / "report.html")).code == 0


def test_a_process_prints_the_bytes_of_a_name(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    ran = subprocess.run([*FOVEA, "ps", folder], capture_output=True, check=False)
    assert b"Traceback" not in ran.stderr and ran.returncode in (0, 2)
    said = subprocess.run(
        [*FOVEA, "launch", "--config", "mlp_digits", "--workdir", folder, "--on", "tpu"], capture_output=True
    )
    assert said.returncode == 0 and os.fsencode(folder) in said.stdout


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_bad_name_in_an_error_is_still_one_line(fovea, tmp_path, name):
    result = fovea("train", "--config", "mlp_digits", "--workdir", tmp_path / "run", **{"data.name": f"folder:{name}"})
    assert result.code == 2 and len(result.error.splitlines()) == 1 and "no folder" in result.error


@pytest.mark.parametrize("command", ["train", "eval", "predict", "sample", "ps", "report"])
def test_a_name_that_is_too_long_is_one_line(fovea, tmp_path, command):
    path = tmp_path / (300 * "x")
    words = {"ps": [path], "report": [path, "--out", tmp_path / "out.html"], "train": ["--config", "mlp_digits"]}
    given = words.get(command, ["x.png"] if command == "predict" else [])
    result = fovea(command, *given, *([] if command in ("ps", "report") else ["--workdir", path]))
    assert result.code == 2 and len(result.error.splitlines()) == 1 and "Traceback" not in result.error


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_shell_lines_hold_names_as_they_are(tmp_path, name):
    workdir = tmp_path / name
    command = ["train", "--workdir", str(workdir), f"--config.data.name=folder:{name}"]
    lines = printed.tpu(command, workdir)
    # The lines for the machines, carried out with a shell function in place of gcloud.
    fake = 'gcloud() { test "$4" = ssh && printf "%s\\0" "${@: -1}"; return 0; }\n'
    ran = subprocess.run(["bash", "-c", fake + lines], capture_output=True, cwd=tmp_path, check=True)
    _, start, follow, stop, _ = os.fsdecode(ran.stdout).split("\0")
    assert shlex.split(start.removeprefix("--command="))[2] == str(workdir)
    assert shlex.split(follow.removeprefix("--command=")) == ["tail", "-f", f"{workdir}/log.txt"]
    assert shlex.split(stop.removeprefix("--command="))[-1] == str(workdir)
    assert not list(tmp_path.iterdir())

    if "\udce9" in name:  # YAML is UTF-8
        return
    (job,) = yaml.safe_load_all(printed.kubernetes(command, workdir, 1, None))
    (pod,) = job["spec"]["template"]["spec"]["containers"]
    line = pod["command"][2]
    assert "$(" not in line.replace("$$(", "") and shlex.split(line.replace("$$(", "$("))[2:] == command
    assert pod["volumeMounts"][0]["mountPath"] == str(tmp_path)


def test_launch_prints_lines_for_a_shell(fovea, tmp_path, monkeypatch):
    from experiments.commands import launch
    from experiments.launch import Job

    job = Job("process 1", tmp_path / "a b" / "log.txt", "", lambda: 0, lambda: None)
    monkeypatch.setattr(launch, "submit", lambda *_: [job])
    printed_lines = fovea("launch", "--config", "mlp_digits", "--workdir", tmp_path / "a b").out.splitlines()
    follow, stop = (shlex.split(line.partition(":")[2]) for line in printed_lines[1:])
    assert follow == ["tail", "-f", str(job.log)] and stop == ["fovea", "stop", str(tmp_path / "a b")]


def test_a_folder_that_slurm_would_read_otherwise_is_refused(tmp_path, on_slurm):
    for name in ("50%j", "a\nb"):
        with pytest.raises(PageError, match="SLURM reads % and line breaks"):
            submit(["train"], on_slurm, tmp_path / name)
        assert not (tmp_path / name).exists()


# Pictures that fail.


def test_a_picture_that_fails_costs_a_line_and_not_the_numbers(fovea, small, tmp_path, monkeypatch):
    from experiments.evaluation import snapshots
    from training import pictures

    def fails(*_, **__):
        raise RuntimeError("no ink\nat all")

    monkeypatch.setattr(pictures, "curves", fails)
    monkeypatch.setattr(pictures, "confusion", fails)
    monkeypatch.setattr(snapshots.Snapshots, "examples", fails)
    result = fovea("train", "--config", "mlp_digits", "--workdir", tmp_path / "run", **small)
    assert result.code == 0
    failed = [line for line in result.error.splitlines() if "no picture" in line]
    assert failed == [
        f"fovea: no picture {name}: RuntimeError: no ink" for name in ("curves", "confusion", "predictions")
    ]
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["test/accuracy"] > 0
    assert (tmp_path / "run" / "mistakes.png").exists() and state(tmp_path / "run") == "finished"


def test_numbers_are_saved_before_pictures_are_drawn(fovea, small, tmp_path, monkeypatch):
    from training import pictures

    def killed(*_, **__):
        assert (tmp_path / "run" / "summary.json").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "curves", killed)
    with pytest.raises(KeyboardInterrupt):
        fovea("train", "--config", "mlp_digits", "--workdir", tmp_path / "run", **small)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["test/accuracy"] > 0


def test_a_snapshot_that_fails_costs_a_line(fovea, small, tmp_path, monkeypatch):
    from experiments.evaluation import snapshots

    def take(self, state):
        yield "samples", lambda: 1 / 0

    monkeypatch.setattr(snapshots.Snapshots, "take", take)
    result = fovea("train", "--config", "mlp_digits", "--workdir", tmp_path / "run", **small)
    assert result.code == 0 and "no picture samples of step 4: ZeroDivisionError" in result.error


def test_a_picture_that_cannot_be_read_is_left_out_of_a_report(fovea, small, tmp_path):
    assert fovea("train", "--config", "mlp_digits", "--workdir", tmp_path / "run", **small).code == 0
    (tmp_path / "run" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 20)
    assert {shown["name"] for shown in gather([tmp_path / "run"])["runs"][0]["pictures"]} >= {"confusion", "mistakes"}
