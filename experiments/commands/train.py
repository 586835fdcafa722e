"""`fovea train`: trains a page, once or with several seeds, and resumes where it was interrupted."""

import argparse
import functools
import pathlib
import sys

from experiments.commands.page import add_config
from experiments.commands.processes import add_processes, join
from experiments.commands.values import positive
from experiments.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, PageError
from experiments.pages.overrides import override
from experiments.pages.stored import SUMMARY, read_summary
from experiments.terminal import show


def arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--workdir", metavar="DIR", help="folder for records and checkpoints")
    parser.add_argument("--fork", action="store_true", help="resume although the page in DIR differs")
    parser.add_argument("--seeds", type=positive, metavar="N", help="N runs in DIR/seed0, …, as one program")
    closer = parser.add_mutually_exclusive_group()
    closer.add_argument("--profile", type=positive, metavar="N", help="trace N steps into DIR/profile")
    closer.add_argument("--debug", action="store_true", help="report which operation made a NaN or an infinity")
    overfit = "check that the network can overfit one batch (exit code 0 or 1)"
    parser.add_argument("--overfit", action="store_true", help=overfit)

    add_processes(parser)


def run(options: argparse.Namespace) -> int:
    from experiments.runs.debug import WARM_UP, overfit, profiled, watched
    from experiments.runs.run import build
    from experiments.runs.transfer import with_new_head
    from training.loop import Interrupted
    from training.records import table

    main = join(options)
    if options.overfit:
        return overfit(options.page)
    if not options.workdir:
        raise PageError("train needs --workdir DIR, where records and checkpoints go")
    if options.seeds:
        return together(options)
    page, trace = options.page, pathlib.Path(options.workdir) / "profile"
    if options.debug:  # under `jit` the step is one function of whole arrays, which can be analysed
        page = override(page, [("devices.kind", "mesh")])
    trained = build(page, options.workdir, fork=options.fork)
    if changed := with_new_head(trained.parts):
        page, line = changed
        trained = build(page, options.workdir, fork=options.fork)
        if main:
            print(f"fovea: {line}", file=sys.stderr)
    wrap = None
    if options.debug:
        wrap = lambda step: watched(trained)
    elif options.profile:
        calls = -(-options.profile // page.train.steps_per_call)
        if (WARM_UP + calls) * page.train.steps_per_call > page.train.steps:
            raise PageError(f"--profile {options.profile}: train.steps={page.train.steps} ends before the trace does")
        wrap = lambda step: profiled(step, calls, trace)
    try:
        summary = trained.train(wrap, began=options.began)
    except Interrupted as stop:
        print(f"fovea: interrupted at step {stop}; saved: the same command resumes", file=sys.stderr)
        return EXIT_INTERRUPTED
    if main:
        show(table(summary))
    return 0


def together(options: argparse.Namespace) -> int:
    """Trains the page with consecutive seeds from its own on, as one program: DIR/seed0, DIR/seed1, …"""
    from experiments.runs.run import build
    from experiments.runs.together import Program, Trial, use_cores
    from training.loop import Interrupted
    from training.records import table
    from training.stop import StopSignal

    for name in ("profile", "debug", "fork", "distributed", "coordinator"):
        if getattr(options, name):
            raise PageError(f"--{name} is for a single run: not with --seeds")
    page = override(options.page, [("devices.kind", "mesh"), ("devices.fsdp", "1")])
    use_cores(page)
    folder, outcomes = pathlib.Path(options.workdir), {}
    seeds = range(page.train.seed, page.train.seed + options.seeds)
    pages = {seed: override(page, [("train.seed", str(seed))]) for seed in seeds}
    left = [seed for seed in pages if not (folder / f"seed{seed}" / SUMMARY).exists()]
    if left:
        first = build(pages[left[0]], folder / f"seed{left[0]}")
        trials = (
            Trial(
                first.sibling(pages[seed], folder / f"seed{seed}"),
                ended=functools.partial(outcomes.__setitem__, seed),
                quiet=seed != left[0],  # one run prints for all
            )
            for seed in left
        )
        try:
            with StopSignal() as stop:
                Program(first, len(left)).train(trials, stop)
        except Interrupted:
            print("fovea: interrupted; saved: the same command resumes", file=sys.stderr)
            return EXIT_INTERRUPTED
    failed = {seed: outcome for seed, outcome in outcomes.items() if isinstance(outcome, Exception)}
    for seed, error in failed.items():
        print(f"fovea: seed {seed}: {error}", file=sys.stderr)
    for seed in pages.keys() - failed.keys():
        show(table(read_summary(folder / f"seed{seed}"), f"seed {seed}"))
    return EXIT_BAD_INPUT if failed else 0
