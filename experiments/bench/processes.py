"""Measurements in processes of their own: what is compared takes turns, and what is reported are medians."""

import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from training.errors import TrainingError


class Process:
    """A process that answers every line with a row, as JSON, and rests until it is asked."""

    def __init__(self, what: str, command: list[str], **environment: str):
        self._what, pipe = what, subprocess.PIPE
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed below
        environment = {**os.environ, **environment}
        self._child = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self._errors, env=environment, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.kill()
        self._child.communicate()
        self._errors.close()

    def ask(self) -> dict[str, Any]:
        """The next row. Raises TrainingError with the last line that a process which failed has written."""
        try:
            self._child.stdin.write("\n")
            self._child.stdin.flush()
            return json.loads(self._child.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError) as error:
            self._child.wait()
            self._errors.seek(0)
            raise TrainingError(f"bench: {self._what} failed: {_complaint(self._errors.read())}") from error


class Elsewhere(Process):
    """A measurement in a process of its own, which shares no memory, compiled code or devices with this one."""

    def __init__(self, measure: Callable, page: str, overrides: list[tuple[str, str]], **environment: str):
        code = "from experiments.bench.processes import answer; answer()"
        name = f"{measure.__module__}:{measure.__name__}"
        command = [sys.executable, "-P", "-c", code, name, page, json.dumps(overrides)]
        super().__init__(f"{measure.__name__} of {page} with {dict(overrides)}", command, **environment)


def answer() -> None:
    """The other side of `Elsewhere`: a row for each line."""
    name, page, overrides = sys.argv[1:]
    module, _, function = name.partition(":")
    measure = getattr(importlib.import_module(module), function)
    rows = measure(override(load(page), [tuple(pair) for pair in json.loads(overrides)]))
    for _ in sys.stdin:
        print(json.dumps(next(rows)), flush=True)


def run(command: Sequence[str], what: str, environment: Mapping[str, str] | None = None) -> str:
    """What a process prints. Raises TrainingError with the last line that one which failed has written."""
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    except OSError as error:
        raise TrainingError(f"bench: {what}: {error.strerror}") from error
    if done.returncode:
        raise TrainingError(f"bench: {what} failed: {_complaint(done.stderr)}")
    return done.stdout.strip()


def _complaint(errors: str) -> str:
    return (errors.strip().splitlines() or ["no reason given"])[-1]


def median_of(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}
