"""The command line: what answers at once, and which errors are the user's."""

import argparse
import importlib
import json
import pathlib
import subprocess
import sys

import pytest

from experiments import cli

ROOT = pathlib.Path(__file__).parents[2]
HEAVY = ("jax", "flax", "optax", "numpy", "tensorflow_datasets", "matplotlib")


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction))
    return action.choices


def test_what_needs_no_jax_answers_without_it():
    """One fresh process asks for everything that must be answered at once."""
    lines = [
        ["--help"],
        *([name, "--help"] for name in commands()),
        ["list"],
        ["list", "models"],
        ["train", "--config", "lenet5_digts", "--workdir", "x"],
        ["train", "--config", "lenet5_digits", "--workdir", "x", "--config.modle.name=mlp"],
        ["train", "--config", "lenet5_digits", "--workdir", "x", "--config.train"],
        ["show", "--config", "nowhere.py"],
        ["eval", "--workdir", "nowhere"],
        ["list", "--config.train.steps=3"],
        ["train", "--config", "lenet5_digits", "--workdri", "x"],
    ]
    script = f"""
import contextlib, io, json, sys
from experiments.cli import main
answers = []
for line in {lines!r}:
    error = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error):
        try:
            code = main(line)
        except SystemExit as stop:
            code = stop.code
    answers.append([code, error.getvalue()])
print(json.dumps([answers, [name for name in {HEAVY!r} if name in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    answers, heavy = json.loads(done.stdout)
    assert heavy == []
    good, bad = answers[:-7], answers[-7:]
    assert good == [[0, ""]] * len(good)
    assert bad == [
        [2, "fovea: unknown config page 'lenet5_digts': did you mean 'lenet5_digits'?\n"],
        [2, "fovea: --config.modle.name: unknown section 'modle': did you mean 'model'?\n"],
        [2, "fovea: unknown argument '--config.train': a key is set by --config.section.key=value\n"],
        [2, "fovea: there is no page nowhere.py\n"],
        [2, "fovea: nowhere is no work directory: cannot read nowhere/config.json (No such file or directory)\n"],
        [2, "fovea: --config.train.steps: this command reads no page\n"],
        [2, "fovea: unknown argument '--workdri': did you mean '--workdir'?\n"],
    ]


def test_every_command_has_a_function():
    for name, parser in commands().items():
        module, _, function = parser.get_default("target").partition(":")
        assert callable(getattr(importlib.import_module(f"experiments.commands.{module}"), function)), name


def test_list_says_what_each_thing_is(fovea):
    listed = fovea("list").out.splitlines()
    assert [line for line in listed if not line.startswith(" ")] == ["models:", "tasks:", "data:", "configs:"]
    assert any(line.split()[0] == "lenet5" and "LeNet-5" in line for line in listed)
    assert any(line.split()[0] == "lenet5_digits" for line in listed)
    assert all(len(line.split()) > 1 for line in listed if line.startswith(" ")), "a name without a summary"
    assert fovea("list", "tasks").out.startswith("tasks:\n")


@pytest.mark.parametrize("room", ["data", "models", "training"])
def test_an_error_of_any_room_is_one_line(room, fovea, monkeypatch):
    error = {"data": "DataError", "models": "ModelError", "training": "TrainingError"}[room]

    def fail(options):
        raise getattr(importlib.import_module(f"{room}.errors"), error)("what is wrong")

    monkeypatch.setattr("experiments.commands.listing.listing", fail)
    result = fovea("list")
    assert (result.code, result.error) == (2, "fovea: what is wrong\n")


def test_a_bug_keeps_its_traceback(fovea, monkeypatch):
    def fail(options):
        raise ValueError("a bug of ours")

    monkeypatch.setattr("experiments.commands.listing.listing", fail)
    with pytest.raises(ValueError, match="a bug of ours"):
        fovea("list")


def test_a_page_may_stand_in_any_file(fovea, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("x = 1\n")
    assert fovea("show", "--config", path).error == f"fovea: {path} defines no get_config()\n"


def test_a_stored_page_that_is_broken_is_one_line(fovea, tmp_path):
    (tmp_path / "config.json").write_text("{")
    result = fovea("eval", "--workdir", tmp_path)
    assert result.code == 2
    assert result.error.startswith(f"fovea: {tmp_path / 'config.json'} is not readable: ")
