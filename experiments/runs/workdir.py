"""Work directories, without jax: finding them, the state of their runs, making and locking one."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import platform
from collections.abc import Iterator
from typing import Any

from experiments.errors import PageError
from experiments.pages.stored import LOCK, STORED, SUMMARY
from training.errors import TrainingError


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


@contextlib.contextmanager
def locked(workdir: pathlib.Path) -> Iterator[None]:
    """Makes the work directory and holds its lock file, which records the owner and how the run ended.

    Raises TrainingError where it cannot be written, its disk is full, or another run holds it.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        handle = (workdir / LOCK).open("a")
    except OSError as error:
        raise TrainingError(f"cannot write the work directory {workdir}: {error.strerror}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TrainingError(f"the work directory {workdir} is in use by another run") from error
        holder = {"pid": os.getpid(), "host": platform.node()}
        _write(handle, holder)
        try:
            yield
        except Exception as error:
            ended = getattr(error, "ended", f"failed: {error}")
            with contextlib.suppress(OSError):  # of a full disk, which `error` reports
                _write(handle, {**holder, "ended": ended})
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise TrainingError(f"cannot write in {workdir}: {error.strerror}; checkpoints stay") from error
            raise


def _write(handle, content: dict) -> None:
    handle.truncate(0)  # opened for appending: this writes at the beginning
    handle.write(json.dumps(content))
    handle.flush()


def make_folder(folder: pathlib.Path) -> None:
    """Makes a folder unless it exists. Raises PageError where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PageError(f"cannot write the folder {folder}: {error.strerror}") from error
