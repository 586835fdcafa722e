"""`fovea stop`: asks a run to save and end."""

import argparse
import os
import pathlib
import platform
import signal

from experiments.errors import PageError
from experiments.runs.workdir import holder


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workdir", metavar="DIR")


def run(options: argparse.Namespace) -> None:
    """Asks a run to save and end, as Ctrl-C does."""
    workdir = pathlib.Path(options.workdir)
    said = holder(workdir)
    if not said["held"]:
        raise PageError(f"nothing runs in {workdir}")
    if said.get("host") != platform.node():
        raise PageError(f"the run in {workdir} is on {said.get('host')}: stop it there")
    os.kill(said["pid"], signal.SIGTERM)
    print(f"asked process {said['pid']} to save and end; `fovea train` resumes it")
