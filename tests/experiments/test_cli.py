"""The command line: what answers at once, and which errors are the user's."""

import importlib
import json
import pathlib
import subprocess
import sys

import pytest

from experiments import cli
from models import MODELS
from models.published import PUBLISHED

ROOT = pathlib.Path(__file__).parents[2]
HEAVY = ("jax", "flax", "optax", "numpy", "ml_collections", "tensorflow_datasets", "matplotlib")


def carried_out(lines, heavy) -> list:
    """[[code, stderr] of each line] and the modules of `heavy` that one fresh process imports for all of them."""
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
print(json.dumps([answers, [name for name in {heavy!r} if name in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_help_imports_no_library():
    assert carried_out([["--help"]], HEAVY) == [[[0, ""]], []]


def test_what_needs_no_jax_answers_without_it():
    good = [*([name, "--help"] for name in cli.COMMANDS), ["list"], ["list", "models"]]
    bad = {
        ("train", "--config", "lenet5_digts", "--workdir", "x"): "unknown config page 'lenet5_digts': did you mean"
        " 'lenet5_digits'?",
        ("train", "--config", "lenet5_digits", "--workdir", "x", "--config.modle.name=mlp"): "--config.modle.name:"
        " unknown section 'modle': did you mean 'model'?",
        ("train", "--config", "lenet5_digits", "--workdir", "x", "--config.train"): "unknown argument"
        " '--config.train': a key is set by --config.section.key=value",
        ("show", "--config", "nowhere.py"): "there is no page nowhere.py",
        ("eval", "--workdir", "nowhere"): "nowhere is not a work directory: cannot read nowhere/config.json"
        " (No such file or directory)",
        ("list", "--config.train.steps=3"): "--config.train.steps: this command reads no page",
        ("trian",): "unknown command 'trian': did you mean 'train'?",
    }
    answers, heavy = carried_out([*good, *map(list, bad)], HEAVY[:3])
    assert heavy == []
    assert answers == [[0, ""]] * len(good) + [[2, f"fovea: {line}\n"] for line in bad.values()]


@pytest.mark.parametrize(
    ("arguments", "wrong", "meant"),
    [
        (["train", "--config", "lenet5_digits", "--workdri", "x"], "--workdri", "--workdir"),
        (["eval", "--workdri", "x"], "--workdri", "--workdir"),  # which is also missing
        (["sweep", "--config", "lenet5_digits", "--workdir=x", "--trails=3"], "--trails=3", "--trials"),
        (["launch", "--confg", "lenet5_digits", "--workdir", "x"], "--confg", "--config"),
        (["train", "--confg.train.steps=3"], "--confg.train.steps=3", "--config"),
        (["ledger", "add", "--workdirs", "x"], "--workdirs", "--workdir"),
    ],
)
def test_an_unknown_flag_names_the_near_miss(fovea, arguments, wrong, meant):
    result = fovea(*arguments)
    assert (result.code, result.error) == (2, f"fovea: unknown argument {wrong!r}: did you mean {meant!r}?\n")


def test_every_command_has_its_arguments_and_its_function():
    for name in cli.COMMANDS:
        module = cli.module(name)
        assert callable(module.arguments) and callable(module.run), name


def test_list_says_what_each_thing_is(fovea):
    listed = fovea("list").out.splitlines()
    assert [line for line in listed if not line.startswith(" ")] == ["models:", "tasks:", "data:", "configs:"]
    assert any(line.split()[0] == "lenet5" and "LeNet-5" in line for line in listed)
    assert any(line.split()[0] == "lenet5_digits" for line in listed)
    assert all(len(line.split()) > 1 for line in listed if line.startswith(" ")), "a name without a summary"
    models = fovea("list", "models").out.splitlines()
    assert len(models) == 1 + len(MODELS) + len(PUBLISHED)
    (vgg,) = [line for line in models if line.split()[:3] == ["variant=D", "num_classes=1000", "138.358"]]
    assert vgg.endswith("M   15.470 G  224²  71.59 % torchvision, BSD-3-Clause")
    assert fovea("list", "tasks").out.startswith("tasks:\n")


@pytest.mark.parametrize("room", ["data", "models", "training"])
def test_an_error_of_any_room_is_one_line(room, fovea, monkeypatch):
    error = {"data": "DataError", "models": "ModelError", "training": "TrainingError"}[room]

    def fail(options):
        raise getattr(importlib.import_module(f"{room}.errors"), error)("what is wrong")

    monkeypatch.setattr("experiments.commands.list.run", fail)
    result = fovea("list")
    assert (result.code, result.error) == (2, "fovea: what is wrong\n")


def test_a_bug_keeps_its_traceback(fovea, monkeypatch):
    def fail(options):
        raise ValueError("a bug of ours")

    monkeypatch.setattr("experiments.commands.list.run", fail)
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
