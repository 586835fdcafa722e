"""The numbers of a page that a researcher sweeps, and the optimizers and schedules that read them.

A compiled step takes them as arguments (`make_hyper`), so that pages that differ in numbers alone share one program.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.build.networks import model_rates
from experiments.errors import PageError, near
from experiments.pages.component import find
from experiments.pages.schema import components
from training.optimizers import make_optimizer, numbers
from training.task import Task


def player_sections(page: ConfigDict, player: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sections `optimizer` and `schedule` of a player; one section serves all players.

    Raises PageError where a section is keyed by player and has no part for this one.
    """
    pair = []
    for kind in ("optimizer", "schedule"):
        section = page[kind]
        if "name" not in section and player not in section:
            raise PageError(f"{kind} has no part for player {player!r}{near(player, section)}")
        pair.append((section if "name" in section else section[player]).to_dict())
    return tuple(pair)


def make_optimizers(page: ConfigDict, task: Task) -> dict[str, Callable]:
    """player -> (step, hyper) -> optax chain."""
    return {player: make_optimizer(*player_sections(page, player), steps=page.train.steps) for player in task.names}


def make_learning_rates(page: ConfigDict, task: Task) -> Callable:
    """(step, hyper["schedule"]) -> player -> learning rate at that step; compiled."""
    names = {player: player_sections(page, player)[1]["name"] for player in task.names}
    schedules = {player: find("schedule", name).load() for player, name in names.items()}
    steps = page.train.steps
    return jax.jit(lambda step, numbers: {p: f(step, steps=steps, **numbers[p]) for p, f in schedules.items()})


def swept_numbers(page: ConfigDict, task: Task) -> dict[str, Any]:
    """Every number that a researcher sweeps, by its key in the page; without `train.seed`."""
    found = {f"task.{name}": page.task[name] for name in task.numbers}
    for kind, of in (("optimizer", numbers), ("schedule", _schedule_numbers)):
        section = page[kind]
        for key, part in ({"": section} if "name" in section else section).items():
            prefix = ".".join(filter(None, (kind, key)))
            found |= {f"{prefix}.{name}": value for name, value in of(part.to_dict()).items()}
    # At a rate of 0 the network has no such layer: that is another program.
    return found | {key: rate for key, rate in model_rates(page).items() if rate}


def make_hyper(page: ConfigDict, task: Task, swept: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the compiled step that hold numbers, on the host: float32, or float64 where jax computes in it.

    Args:
      swept: from `swept_numbers`.

    Returns:
      {"optimizer": by player, "schedule": by player, "task": by name, "model": by network, then by key of its section}
    """
    pairs = {player: player_sections(page, player) for player in task.names}
    rates = {}
    for key in components("model", page.model):
        prefix = "model." if "name" in page.model else f"model.{key}."
        own = {k.removeprefix(prefix): v for k, v in swept.items() if k.startswith(prefix)}
        rates |= {key: own} if own else {}
    hyper = {
        "optimizer": {player: numbers(optimizer) for player, (optimizer, _) in pairs.items()},
        "schedule": {player: _schedule_numbers(schedule) for player, (_, schedule) in pairs.items()},
        "task": {name: page.task[name] for name in task.numbers},
        "model": rates,
    }
    dtype = np.float64 if jax.config.jax_enable_x64 else np.float32
    return jax.tree.map(lambda x: np.asarray(x, dtype), hyper)


def _schedule_numbers(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """All keys of a section `schedule` but its name."""
    return {key: value for key, value in schedule.items() if key != "name" and value is not None}
