"""Which choices of the compiler and of the allocator make a page's step fastest on this machine's CPU."""

import os
import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import jax

from experiments.bench.loop import step_time
from experiments.bench.processes import Elsewhere
from experiments.build.compilation_faults import FUSION_FLAG
from experiments.terminal import say
from training.errors import TrainingError

TURNS = 7
HUGE = "glibc.malloc.hugetlb=1"

# name -> environment. XLA's fusions for the CPU, each left out, and memory in huge pages, which saves page faults.
CHOICES = {
    "as it is": {},
    "huge pages": {"GLIBC_TUNABLES": HUGE},
    **{
        f"huge pages, {name}": {"GLIBC_TUNABLES": HUGE, "XLA_FLAGS": f"{FUSION_FLAG}={value}"}
        for name, value in {
            "no fused convolutions": "-individual_convolution",
            "no fused products": "-individual_dot",
            "no fused sums": "-reduce",
            "nothing fused": "",
        }.items()
    },
}


def tune(page: str, overrides: list[tuple[str, str]], turns: int = TURNS) -> Iterator[dict[str, Any]]:
    """A row for each choice, fastest first, with its gain over "as it is"; the choices take turns.

    Each runs in a process of its own. `gain` is the median over turns of (seconds as it is / seconds so) − 1.

    Raises:
      TrainingError: the backend is not a CPU.
    """
    if jax.default_backend() != "cpu":
        raise TrainingError(f"--tune tries choices of the CPU backend, and jax uses {jax.default_backend()}")
    with ExitStack() as stack:
        children = {}
        for name, environment in CHOICES.items():
            say(f"{page}, {name} …")
            flags = f"{os.environ.get('XLA_FLAGS', '')} {environment.get('XLA_FLAGS', '')}".strip()
            own = {**environment, "XLA_FLAGS": flags, "JAX_ENABLE_COMPILATION_CACHE": "false", "JAX_PLATFORMS": "cpu"}
            children[name] = stack.enter_context(Elsewhere(step_time, page, overrides, **own))
            children[name].ask()  # compiles
        rows = [{name: child.ask()["step_seconds"] for name, child in children.items()} for _ in range(turns)]
    found = []
    for name, environment in CHOICES.items():
        gain = statistics.median(turn["as it is"] / turn[name] for turn in rows) - 1
        settings = "  ".join(f"{key}='{value}'" for key, value in environment.items())
        seconds = statistics.median(turn[name] for turn in rows)
        found.append({"choice": name, "step_seconds": seconds, "gain": gain, "environment": settings})
    yield from sorted(found, key=lambda row: -row["gain"])
