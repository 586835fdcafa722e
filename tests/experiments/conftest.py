"""A command line carried out in this process, and a work directory that one has trained."""

import dataclasses
import importlib.util
import os
import pathlib
import signal

import jax
import pytest

from experiments.cli import main
from experiments.launch import Where, slurm
from experiments.runs.workdir import find, holder
from tests.flags import QUICK

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


# Elsewhere.


@pytest.fixture
def one_device(monkeypatch):
    """The processes that are started see one CPU each, unless a test says otherwise."""
    jax.devices()  # this process has its own by now
    monkeypatch.setenv("XLA_FLAGS", QUICK)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")


@pytest.fixture
def nothing_stays(tmp_path):
    """Where a test fails, what it started ends too."""
    yield
    for workdir in find(tmp_path):
        if (said := holder(workdir))["held"]:
            os.kill(said["pid"], signal.SIGKILL)


@pytest.fixture
def on_slurm(monkeypatch) -> Where:
    """SLURM, for which submitit's local executor stands in."""
    if not importlib.util.find_spec("submitit"):
        pytest.skip("submitit is not installed")
    monkeypatch.setattr(slurm, "CLUSTER", "local")
    return Where("slurm", slurm={"timeout_min": 60})


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two nodes on this machine."""
    pytest.importorskip("ray")
    from ray import shutdown
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster
    shutdown()
    cluster.shutdown()
