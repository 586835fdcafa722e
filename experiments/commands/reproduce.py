"""`fovea reproduce`: trains pages of papers, within a budget of time, and adds their rows to the ledger."""

import argparse
import pathlib
import signal
import time

from rich.table import Table

from experiments.commands.page import add_overrides
from experiments.commands.values import minutes, seeds
from experiments.errors import EXIT_FAILED, EXIT_INTERRUPTED, PageError
from experiments.pages.catalogue import canonical_name
from experiments.terminal import show


def arguments(parser: argparse.ArgumentParser) -> None:
    add_overrides(parser)
    parser.add_argument("names", nargs="*", metavar="PAGE", help="default: every page whose data is available")
    budget = "end within this time; the next call resumes"
    parser.add_argument("--budget", type=minutes, metavar="MINUTES", help=budget)
    text = "number of seeds from the page's own on, or a list: 0,1,2 (one: 7,); default: those of its row"
    parser.add_argument("--seeds", type=seeds, metavar="N", help=text)
    parser.add_argument("--workdir", dest="root", metavar="DIR", default="runs", help="runs go to DIR/PAGE/seed<N>")


def run(options: argparse.Namespace) -> int:
    """Reproduces one page or several and prints the outcome of each."""
    from experiments.ledger.reproduce import carry_out, gather, measured, one, reproducible, train_elsewhere

    if options.overrides and not options.names:
        raise PageError(f"--config.{options.overrides[0][0]}: name the pages that it applies to")
    root = pathlib.Path(options.root)
    if len(options.names) == 1 and options.budget is None:
        return one(reproducible(name := canonical_name(options.names[0]), options.overrides), name, options.seeds, root)
    jobs, outcomes = gather(options.names, options.overrides, options.seeds, root)
    train = lambda job, seconds, grace: train_elsewhere(job, options.overrides, root, seconds, grace)
    measure = lambda job, limit: measured(job, options.overrides, limit)
    budget = options.budget and 60 * options.budget - (time.perf_counter() - options.began)
    before, stopped = signal.signal(signal.SIGTERM, signal.default_int_handler), False
    try:
        carry_out(jobs, outcomes, budget, train, measure)
    except KeyboardInterrupt:
        stopped = True
    finally:
        signal.signal(signal.SIGTERM, before)
    table = Table("page", "seeds", "outcome")
    for name, outcome in outcomes.items():
        table.add_row(name, ", ".join(str(seed) for job in jobs if job.name == name for seed in job.seeds), outcome)
    show(table)
    if stopped:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if any(outcome.startswith("failed") for outcome in outcomes.values()) else 0
