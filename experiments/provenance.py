"""Where numbers come from: the commit, the machine and the versions that produced them."""

import datetime
import functools
import importlib.metadata
import os
import pathlib
import platform
import subprocess

import jax
from ml_collections import ConfigDict

from experiments.fingerprint import fingerprint

_ROOMS = ("models", "training", "data", "experiments", ":!experiments/results")
_PACKAGES = ("jax", "flax", "optax", "numpy")


def origin(page: ConfigDict | None = None, before: dict | None = None) -> dict:
    """{"commit", "hardware", "date", "versions"} of what begins now, or goes on from what began `before`.

    Of a run of `page` also "code", the fingerprint of what its numbers depend on.
    """
    now = {"commit": commit(), "hardware": hardware(), "date": f"{datetime.date.today()}", "versions": versions()}
    if page:
        now["code"] = fingerprint(page)
    if before is None:
        return now
    before = {"code": "unknown", **before}  # it may be of a time when that was not asked
    then = lambda key: before[key] if before[key].endswith(now[key]) else f"{before[key]}, then {now[key]}"
    return {**before, **{key: then(key) for key in ("commit", "hardware", "code")}}


@functools.cache  # as it was when this process began: what is changed later is not what runs
def commit() -> str:
    """The commit of this code, "+dirty" where the code has changes that are in no commit; "" outside a repository."""
    root = pathlib.Path(__file__).parents[1]

    def git(*words):
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True).stdout

    try:
        if pathlib.Path(git("rev-parse", "--show-toplevel").strip()).resolve() != root.resolve():
            return ""  # installed inside somebody else's repository
        head = git("rev-parse", "--short=10", "HEAD").strip()
        return head + ("+dirty" if git("status", "--porcelain", "--", *_ROOMS).strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def hardware() -> str:
    """What the devices of this run are: "Intel Xeon …, 2 cores" or "8 × NVIDIA H100"."""
    devices = jax.devices()
    if devices[0].platform == "cpu":
        name = f"{_cpu()}, {len(os.sched_getaffinity(0))} cores"
        return name if len(devices) == 1 else f"{len(devices)} devices on {name}"
    return devices[0].device_kind if len(devices) == 1 else f"{len(devices)} × {devices[0].device_kind}"


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in _PACKAGES}}


def _cpu() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
