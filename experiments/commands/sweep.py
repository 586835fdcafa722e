"""`fovea sweep`: searches over keys of a page, in this process, in several, or on a cluster."""

import argparse
import math
import pathlib
import shlex

from experiments.commands.page import add_config
from experiments.commands.places import add_places
from experiments.commands.values import positive, slots, space
from experiments.errors import PageError
from experiments.launch import PLACES, local, submit, where
from experiments.pages.stored import RESULTS
from experiments.terminal import say


def arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, required=False)
    parser.add_argument("--workdir", dest="folder", required=True, metavar="DIR", help="folder of all trials")
    spaces = "what to search: log:1e-4..1e-1, 0.0..0.5 or 20,32,44; also sweep() of a page"
    parser.add_argument("--over", action="append", type=space, metavar="KEY=SPACE", help=spaces)
    metric = "of the records; default: the one that ranks checkpoints. A trial's value is its best"
    parser.add_argument("--metric", metavar="NAME", help=metric)
    parser.add_argument("--goal", metavar="max|min", help="default: the direction of the metric")
    parser.add_argument("--trials", type=int, metavar="N", help="default: 32, or all of a grid")
    parser.add_argument("--sampler", metavar="NAME", help="tpe, random, grid or cmaes")
    parser.add_argument("--pruner", metavar="NAME", help="none, median, hyperband or asha: ends trials that lag behind")
    parser.add_argument("--seed", type=int, metavar="S", help="of the sampler")
    parser.add_argument("--storage", metavar="URL", help="postgresql://… or mysql://…; default: a file in DIR")
    together = "the most trials trained as one program: auto, no or N"
    parser.add_argument("--vectorize", type=slots, default="auto", metavar="auto", help=together)
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help="processes that share the trials")
    parser.add_argument("--worker", action="store_true", help="join the sweep in DIR; needs no other argument")
    add_places(parser, PLACES)


def run(options: argparse.Namespace) -> int:
    import jax

    from experiments.runs.together import use_cores
    from experiments.sweeps.attend import MANY, attend, work
    from experiments.sweeps.planning import planned
    from experiments.sweeps.sweep import Sweep, begin

    folder = pathlib.Path(options.folder)
    if options.worker:
        return work(Sweep(folder), options.vectorize)
    if options.config is None:
        raise PageError("sweep needs --config PAGE, or --worker to join the sweep in --workdir")
    place = where(options)
    if place.hosts > 1:
        raise PageError(
            f"--hosts {place.hosts}: a trial has one host; --workers N sets how many processes share the trials"
        )
    if place.on == "local":
        local.shares(place.devices, options.workers)  # missing devices are an error before anything is written
    if options.vectorize != "no":
        use_cores(options.page)
    here = place.on == "local" and options.workers == 1 and place.devices is None
    if not here:
        jax.config.update("jax_platforms", "cpu")  # the accelerators are for the workers
    plan = planned(options)
    found = begin(folder, plan)
    say(f"{found.limit} trials of {plan.page} for the {plan.goal} of {plan.metric}, in {folder}")
    if found.limit < plan.trials:
        seeds = "" if "train.seed" in found.spaces else " (to repeat them with other seeds: --over train.seed=0..4)"
        say(f"{plan.trials} trials would repeat settings: there are {found.limit}, and each is tried once{seeds}")
    if here:
        return work(found, options.vectorize)
    together = options.vectorize
    if together == "auto" and options.workers > 1:  # otherwise the first worker would take all trials
        together = str(min(MANY, math.ceil(found.limit / options.workers)))
    command = ["sweep", "--worker", "--workdir", str(folder.absolute()), "--vectorize", together]
    jobs = submit(command, place, folder, copies=options.workers)
    for job in jobs:
        say(f"{job.name}\n  to follow: tail -f {shlex.quote(str(job.log))}")
    if place.on == "slurm":
        say(f"the last worker writes {folder / RESULTS}; `fovea ps {folder}` shows the trials")
        return 0
    return attend(found, jobs)
