"""Carries a `fovea` command out elsewhere: as processes of this machine, as SLURM jobs or as Ray tasks.

    (job,) = submit(["train", "--config", "lenet5_digits", "--workdir", "runs/a"], Where("local"), "runs/a")
    code = job.wait()

A command must save and end with exit code 75 on SIGTERM, and resume when it is started again: a job that is pre-empted,
out of time or lost with its node gets the same command. Nothing here imports jax.
"""

import argparse
import dataclasses
import importlib
import pathlib
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.errors import PageError, near

PLACES = ("local", "slurm", "ray")
PRINTED = ("tpu", "kubernetes")  # only prints commands: `experiments.launch.printed`
ENTRY = "experiments.cli"  # by name: a launched command is a program of its own
FOVEA = (sys.executable, "-P", "-m", ENTRY)  # -P: ignores a folder `models` in the current one
RETRIES = 100  # of a job that ran out of time or lost its node


@dataclasses.dataclass(frozen=True)
class Where:
    """Where a command runs, and with what.

    Attributes:
      on: one of PLACES, or of PRINTED for commands that are only printed.
      devices: accelerators of each process. None: an equal share of this machine's, or the cluster's default.
      hosts: processes of one run, one per host, joined by `jax.distributed`.
      address: of the Ray cluster, "host:port"; empty: the one of this machine.
      slurm: submitit's parameters, {"time": 60, "partition": "gpu"}.
    """

    on: str = "local"
    devices: int | None = None
    hosts: int = 1
    address: str = ""
    slurm: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Job:
    """A command that was submitted.

    Attributes:
      name: "process 4711", "SLURM job 12_0".
      log: its output; of several hosts, the first one's.
      stopping: the shell command that stops it; empty where only the process that submitted it can.
      wait: blocks until it has ended and returns its exit code.
      stop: asks it to save and end.
    """

    name: str
    log: pathlib.Path
    stopping: str
    wait: Callable[[], int]
    stop: Callable[[], None]


def submit(command: Sequence[str], where: Where, folder: str | pathlib.Path, copies: int = 1) -> list[Job]:
    """Starts a command and returns without waiting for it.

    Args:
      command: arguments of `fovea`. With `where.hosts` > 1 it is `train …`, and gets the address of the first process.
      folder: where the logs go, `log.txt`, `log1.txt`, …; the same path on every machine, as all paths of the command.
      copies: of the command, each with its own devices; on SLURM an array.

    Raises:
      PageError: too few devices or hosts, no such cluster; nothing is started or written.
    """
    if where.on not in PLACES:
        raise PageError(f"--on {where.on}{near(where.on, PLACES)}")
    place = importlib.import_module(f"experiments.launch.{where.on}")
    return place.submit(list(command), where, pathlib.Path(folder).absolute(), copies)


def where(options: argparse.Namespace) -> Where:
    """The place that the arguments `--on`, `--devices`, `--hosts`, `--address` and `--slurm` name.

    Raises:
      PageError: an argument of another place.
    """
    on, given = options.on, dict(options.slurm or ())
    if options.address and on != "ray":
        raise PageError(f"--address is for --on ray, not for --on {on}")
    if given and on != "slurm":
        raise PageError(f"--slurm {next(iter(given))}: not with --on {on}")
    if on == "tpu" and (options.devices or options.hosts > 1):
        raise PageError("--on tpu: the slice's type says how many hosts and devices there are")
    return Where(on, options.devices, options.hosts, options.address, given)


def flags(overrides: Sequence[tuple[str, str]]) -> list[str]:
    """The arguments that change keys of a page."""
    return [f"--config.{key}={value}" for key, value in overrides]


def log_of(folder: pathlib.Path, copy: int, host: int = 0) -> pathlib.Path:
    """The log of a host of a copy: log.txt, log1.txt, …; of further hosts log-1.txt, log1-1.txt, …"""
    return folder / f"log{copy or ''}{f'-{host}' if host else ''}.txt"


def joined(coordinator: str, processes: int, process: int) -> list[str]:
    """The arguments with which `fovea train` is one process of several."""
    return ["--coordinator", coordinator, "--processes", str(processes), "--process", str(process)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def needs(module: str, extra: str):
    """A module of an optional dependency. Raises PageError naming what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PageError(f"{module} is not installed: pip install -e '.[{extra}]'") from error
