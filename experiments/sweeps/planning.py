"""The plan of a sweep, from the arguments of `fovea sweep` and the page's own `sweep()`."""

import argparse
import pathlib

from experiments.build.parts import Parts
from experiments.errors import PageError, near
from experiments.pages import catalogue
from experiments.pages.overrides import override
from experiments.pages.stored import canonical
from experiments.runs.run import Run
from experiments.sweeps.spaces import combinations, spaces
from experiments.sweeps.sweep import Plan, unique
from experiments.sweeps.worker import reported

TRIALS = 32  # the default; a grid has as many as its combinations


def planned(options: argparse.Namespace) -> Plan:
    """The plan of the arguments; the page's own `sweep()` gives defaults."""
    own = catalogue.search(options.config)
    known = ("over", "metric", "goal", "trials", "sampler", "pruner", "seed")
    for name in own:
        if name not in known:
            raise PageError(f"sweep() of {options.config}: unknown key {name!r}{near(name, known)}")
    given = {name: value for name in known if (value := getattr(options, name)) is not None}
    defaults = dict(sampler="tpe", pruner="none", seed=0)
    chosen = {**defaults, **own, **given}
    chosen["over"] = {**{k: str(v) for k, v in own.get("over", {}).items()}, **dict(given.get("over", []))}
    if not chosen["over"]:
        raise PageError("--over KEY=SPACE is required, as in --over schedule.peak=log:1e-4..1e-1")
    page = catalogue.anywhere(options.config)
    over = spaces(chosen["over"], options.page)
    count = len(combinations(over)) if chosen["sampler"] == "grid" else TRIALS
    if chosen.setdefault("trials", count) < 1:
        raise PageError(f"--trials {chosen['trials']} is less than 1")
    one_device = [("devices.kind", "mesh"), ("devices.fsdp", "1")]
    run = Run(Parts(override(options.page, one_device)), pathlib.Path(options.folder))
    aim = _aim(run, chosen.get("metric"), chosen.get("goal"))
    return Plan(
        **{"page": page, **chosen, **aim},
        overrides=[list(pair) for pair in options.overrides],
        config=canonical(options.page),
        storage=options.storage or "",
        study=unique(page),
    )


def _aim(run: Run, metric: str | None, wanted: str | None) -> dict[str, str]:
    """The metric, by default the one that ranks checkpoints, and the goal, by default the metric's direction."""
    best = run.task.best
    if not metric and not (best and run.parts.has("validation")):
        raise PageError("--metric NAME: the page has no validation split, or its task no metric that ranks checkpoints")
    metric, known = metric or f"validation/{best}", reported(run)
    if metric not in known:
        raise PageError(f"--metric {metric}: the page never reports it{near(metric, known)}")
    if not (wanted or known[metric].better):
        raise PageError(f"--goal min or max is required: neither is known to be better for {metric}")
    return {"metric": metric, "goal": wanted or known[metric].better}
