"""The fingerprint of a page changes with what its numbers depend on, and with nothing else."""

import shutil

import pytest

from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from experiments.runs.fingerprint import ROOT, fingerprint


@pytest.fixture
def root(tmp_path):
    """The rooms, in a folder without history."""
    for room in ("models", "training", "data", "experiments"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "results"))
    return tmp_path


@pytest.mark.parametrize(
    "file, changed",
    [
        ("models/classification/lenet.py", True),
        ("data/digits.py", True),
        ("data/augment/geometric.py", True),
        ("training/step.py", True),
        ("models/generative/vae.py", False),
        ("training/tasks/gan.py", False),
        ("training/pictures.py", False),
        ("experiments/evaluation/judge.py", False),
        ("experiments/configs/classification/lenet5_digits.py", False),  # its recipe counts, and not its text
    ],
)
def test_code_that_is_changed(root, tmp_path, file, changed):
    page, other = load("lenet5_digits"), tmp_path / "other"
    assert fingerprint(page, root) == fingerprint(page)
    shutil.copytree(root, other, ignore=shutil.ignore_patterns("other"))  # what was read of `root` is kept
    with (other / file).open("a") as handle:
        handle.write("# another line\n")
    assert (fingerprint(page, other) != fingerprint(page)) is changed


@pytest.mark.parametrize(
    "key, value, changed",
    [
        ("train.seed", "1", False),
        ("devices.kind", "mesh", False),
        ("data.augment", "()", True),
        ("schedule.peak", "1e-4", True),
        ("train.judge_samples", "10", True),
    ],
)
def test_a_recipe_that_is_changed(key, value, changed):
    page = load("lenet5_digits")
    assert (fingerprint(override(page, [(key, value)])) != fingerprint(page)) is changed
