"""A command line carried out in this process, and a work directory that one has trained."""

import dataclasses
import pathlib

import pytest

from experiments.cli import main

SMALL = dict(batch_size=64, steps=4, log_every=2, evaluate_every=4, checkpoint_every=2)


@dataclasses.dataclass(frozen=True)
class Result:
    code: int
    out: str
    error: str


@pytest.fixture
def fovea(capsys):
    """fovea("train", "--config", …, **{"train.steps": 4}) -> what it returned and printed."""

    def call(*arguments, **overrides) -> Result:
        capsys.readouterr()
        code = main([*map(str, arguments), *(f"--config.{key}={value}" for key, value in overrides.items())])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture
def small() -> dict:
    """Overrides that make a run of four steps."""
    return {f"train.{key}": value for key, value in SMALL.items()}


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> pathlib.Path:
    """The work directory of an MLP that saw four batches of digits."""
    workdir = tmp_path_factory.mktemp("trained")
    overrides = [f"--config.train.{key}={value}" for key, value in SMALL.items()]
    assert main(["train", "--config", "mlp_digits", "--workdir", str(workdir), *overrides]) == 0
    return workdir
