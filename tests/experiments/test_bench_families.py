"""The families are measured in turns, beside a torch that is played by a script, and have the sizes of torch's."""

import stat

import pytest

from experiments import cli
from experiments.bench import families
from experiments.bench.loop import number_of
from experiments.build.parts import Parts
from experiments.pages.catalogue import load
from experiments.pages.overrides import override

TINY = {"data.name": "synthetic", "data.num_examples": "32", "data.image_size": "8", "data.augment": ""}
DDPM = {"model.width": "8", "model.multipliers": "1,1", "model.blocks": "1", "model.groups": "4"}
COLUMNS = {"seconds", "examples_per_s", "compile_seconds", "peak_memory_mb", "parameters"}

# As counted in torch, by `experiments/bench/torch.py`.
PARAMETERS = {
    "ViT-S/16": 21_669_514,
    "U-Net": 31_038_283,
    "VAE": 815_824,
    "DCGAN": 6_342_272,
    "DDPM U-Net": 35_746_307,
    "DDIM, 50 steps": 35_746_307,
}


def tiny(**fields):
    return families.Family("mlp_digits", TINY, batch=(8, 8), bound="matmul", torch="mlp", **fields)


@pytest.fixture
def torch(tmp_path):
    """A Python to all appearances: a training takes 1000 s, and what is compiled fails."""
    script = tmp_path / "python"
    row = '{"seconds": 1000.0, "examples_per_s": 1.0, "compile_seconds": 0, "peak_memory_mb": 1, "parameters": 1}'
    script.write_text(f"#!/bin/sh\n[ \"$4\" = compiled ] && echo 'no compiler' >&2 && exit 1\nexec yes '{row}'\n")
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    return str(script)


def test_a_row_of_training():
    rows = families.training(override(load("mlp_digits"), TINY.items()), seconds=0.01)
    first, second = next(rows), next(rows)
    assert first.keys() == second.keys() == COLUMNS
    assert min(first.values()) > 0


def test_a_row_of_sampling():
    overrides = {
        **TINY,
        **families.PLAIN,
        "data.channels": "1",
        **DDPM,
        "task.sampling_steps": "2",
        "train.batch_size": "8",
    }
    row = next(families.sampling(override(load("ddpm_mnist_small"), overrides.items()), seconds=0.01))
    assert row.keys() == COLUMNS and row["examples_per_s"] == pytest.approx(8 / row["seconds"])


def test_variants_take_turns_and_one_that_fails_says_why(torch, monkeypatch):
    monkeypatch.setattr(families, "TURNS", 1)
    failed, ours, theirs, ratio = families.compare("MLP", tiny(), "cpu", torch)
    assert failed["variant"] == "torch, compiled" and failed["failed"].endswith("failed: no compiler")
    assert ours["variant"] == "fovea" and theirs["variant"] == "torch, eager" and theirs["seconds"] == 1000
    assert ratio["ratio"] == pytest.approx(1000 / ours["seconds"]) and ratio["ok"]


def test_without_torch(monkeypatch):
    monkeypatch.setattr(families, "FAMILIES", {})
    (row,) = families.families_suite("/no/such/python")
    assert row["beside"].startswith("nothing: ") and "No such file" in row["beside"]


def test_torch_is_for_the_families(capsys):
    assert cli.main(["bench", "--suite", "loop", "--torch", "python"]) == 2
    assert "families" in capsys.readouterr().err


@pytest.mark.parametrize("name", families.FAMILIES)
def test_as_large_as_in_torch(name):
    family = families.FAMILIES[name]
    overrides = {**family.overrides, "train.batch_size": "8", "data.num_examples": "8"}
    if "data.size" in overrides:
        del overrides["data.num_examples"]
    assert number_of(Parts(override(load(family.page), overrides.items())).abstract_state.params) == PARAMETERS[name]
