"""Where numbers come from: the commit, the machine and the versions that produced them."""

import collections
import datetime
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys

import jax
from ml_collections import ConfigDict

from experiments.runs.fingerprint import fingerprint
from experiments.terminal import masked
from training.atomic import replace

ROOT = pathlib.Path(__file__).parents[2]
ENVIRONMENT = "environment.json"
LONGEST = 1_000_000  # bytes of a diff that are kept
_ROOMS = ("models", "training", "data", "experiments", ":!experiments/results")
_PACKAGES = ("jax", "flax", "optax", "numpy")


def origin(page: ConfigDict | None = None, before: dict | None = None) -> dict:
    """{"commit", "hardware", "date", "versions"} of a run that starts now, or resumes one with the origin `before`.

    With `page` also "code", its fingerprint.
    """
    now = {"commit": commit(), "hardware": hardware(), "date": f"{datetime.date.today()}", "versions": versions()}
    if page:
        now["code"] = fingerprint(page)
    if before is None:
        return now
    before = {"code": "unknown", **before}  # older runs did not record it
    then = lambda key: before[key] if before[key].endswith(now[key]) else f"{before[key]}, then {now[key]}"
    return {**before, **{key: then(key) for key in ("commit", "hardware", "code")}}


def note(workdir: pathlib.Path) -> None:
    """Records in `environment.json` where and with what a run starts or resumes.

    It has an entry for each start that differs from the one before it: time, host, command, processes, devices by
    kind, commit, and the version of every installed package. Uncommitted changes are kept beside it, in the file
    that the entry names as `diff`.
    """
    path = workdir / ENVIRONMENT
    starts = json.loads(path.read_text()) if path.exists() else []
    name, diff = None, _code()[1]
    if diff:
        name = f"code-{hashlib.sha256(diff).hexdigest()[:8]}.diff"
        (workdir / name).write_bytes(diff)
    start = {
        "time": f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M:%S %z}",
        "host": platform.node(),
        "command": list(map(masked, sys.argv)),
        "processes": jax.process_count(),
        "devices": dict(collections.Counter(device.device_kind for device in jax.devices())),
        "commit": commit(),
        "diff": name,
        "python": platform.python_version(),
        "packages": _packages(),
    }
    if not starts or {**starts[-1], "time": None} != {**start, "time": None}:
        replace(path, json.dumps([*starts, start], indent=1))


@functools.cache  # slow, and a process may start many trials
def _packages() -> dict[str, str]:
    return dict(sorted((found.name.lower(), found.version) for found in importlib.metadata.distributions()))


def commit() -> str:
    """The commit of this code, "+dirty" where the code has uncommitted changes; "" outside a repository."""
    head, diff = _code()
    return head + ("+dirty" if diff else "")


@functools.cache  # read once: later changes are not what runs
def _code() -> tuple[str, bytes]:
    """The commit of this code, and its uncommitted changes as a diff for `git apply`, cut at LONGEST bytes."""

    def git(*words, codes=(0,)):
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True)
        if done.returncode not in codes:
            raise subprocess.CalledProcessError(done.returncode, words)
        return done.stdout

    try:
        if pathlib.Path(git("rev-parse", "--show-toplevel").decode().strip()).resolve() != ROOT.resolve():
            return "", b""  # installed inside somebody else's repository
        head = git("rev-parse", "--short=10", "HEAD").decode().strip()
        diff = git("diff", "--binary", "HEAD", "--", *_ROOMS)
        for path in git("ls-files", "--others", "--exclude-standard", "-z", "--", *_ROOMS).decode().split("\0")[:-1]:
            diff += git("diff", "--binary", "--no-index", "/dev/null", path, codes=(0, 1))
    except (OSError, subprocess.CalledProcessError):
        return "", b""
    if len(diff) > LONGEST:
        diff = diff[:LONGEST] + f"\n… and {len(diff) - LONGEST} bytes more\n".encode()
    return head, diff


def hardware() -> str:
    """The devices of this run: "Intel Xeon …, 2 cores" or "8 × NVIDIA H100"."""
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
