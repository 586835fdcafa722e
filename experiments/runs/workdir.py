"""Work directories, without jax: finding them, the state of their runs, making one."""

import fcntl
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from experiments.errors import PageError
from experiments.pages.stored import LOCK, STORED, SUMMARY


def find(root: pathlib.Path) -> Iterator[pathlib.Path]:
    """The work directories in a folder, itself included; not those inside another."""
    for folder, inner, files in os.walk(root):
        if STORED in files:
            inner.clear()
            yield pathlib.Path(folder)


def state(workdir: pathlib.Path) -> str:
    """finished | running | failed: why | interrupted | killed: the process ended without recording why."""
    if (workdir / SUMMARY).exists():
        return "finished"
    said = holder(workdir)
    return "running" if said["held"] else said.get("ended", "killed").partition("\n")[0]


def holder(workdir: pathlib.Path) -> dict[str, Any]:
    """The content of the lock: `pid` and `host` of its last owner, how its run `ended`, and whether it is `held` now.

    The system releases the lock of a process that ends in any way.
    """
    try:
        with (workdir / LOCK).open() as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
                held = False
            except OSError:
                held = True
            return {**json.loads(handle.read() or "{}"), "held": held}
    except (OSError, json.JSONDecodeError):
        return {"held": False}


def make_folder(folder: pathlib.Path) -> None:
    """Makes a folder unless it exists. Raises PageError where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PageError(f"cannot write the folder {folder}: {error.strerror}") from error
