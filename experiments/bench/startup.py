"""From the start of `fovea train` to the end of its first step: cold, and when the page ran before."""

import json
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import matplotlib

from data.prepare import find_builder
from experiments.bench.loop import CIFAR, DIGITS, SYNTHETIC
from experiments.bench.processes import median_of, run
from experiments.launch import FOVEA, flags
from experiments.pages.stored import SUMMARY
from experiments.terminal import say

STARTS = 5
# No more than the first step, and nothing to evaluate.
ONE_STEP = [*((f"train.{key}", "1") for key in ("steps", "log_every", "evaluate_every", "checkpoint_every"))]
ONE_STEP += [("data.validation", ""), ("data.test", "")]


def startup_suite() -> Iterator[dict[str, Any]]:
    """`fovea train` from the start of its process to the end of the first step: cold, and when the page ran before."""
    pages = {DIGITS: [], CIFAR: SYNTHETIC[:1], "vae_mnist": []}
    if not find_builder("mnist").is_prepared():
        say("vae_mnist is left out: tfds:mnist is not prepared")
        del pages["vae_mnist"]
    for name, overrides in pages.items():
        say(f"start-up of {name} …")
        with tempfile.TemporaryDirectory() as cache:
            cold = startup(name, overrides, pathlib.Path(cache))
            warm = median_of([startup(name, overrides, pathlib.Path(cache)) for _ in range(STARTS)])
        yield {"page": name, "cache": "empty", **cold}
        yield {"page": name, "cache": "warm", **warm, "wanted": 8.0, "ok": warm["startup_seconds"] < 8.0}


def startup(page: str, overrides: list[tuple[str, str]], cache: pathlib.Path) -> dict[str, float]:
    """Seconds from the start of `fovea train` to the end of its first step, with the user's cache in a folder."""
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    environment |= {"XDG_CACHE_HOME": str(cache), "MPLCONFIGDIR": matplotlib.get_cachedir()}
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder) / "run"
        command = [*FOVEA, "train", "--config", page, "--workdir", str(workdir), *flags([*ONE_STEP, *overrides])]
        run(command, page, environment)
        return {"startup_seconds": json.loads((workdir / SUMMARY).read_text())["startup_seconds"]}
