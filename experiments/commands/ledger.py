"""`fovea ledger` and `fovea reproduce`: the rows of the ledger of reproductions, and the runs behind them."""

import argparse
import pathlib

from rich.console import Console

from experiments import ledger as book
from experiments.build import build
from experiments.commands.train import EXIT_INTERRUPTED
from experiments.component import PageError
from experiments.page import SUMMARY, canonical, override
from training.loop import Interrupted


def ledger(options: argparse.Namespace) -> None:
    """Adds the row of finished runs, or only renders the table."""
    if options.action == "add":
        if not options.workdirs:
            raise PageError("ledger add needs --workdir DIR …, the runs of one page")
        _say(book.add(options.workdirs, book.RESULTS))
    else:
        book.render(book.RESULTS)
        print(f"{len(book.rows(book.RESULTS))} rows in {book.RESULTS / 'README.md'}")


def reproduce(options: argparse.Namespace) -> int:
    """Trains the page once for each seed, in DIR/seed<N>, and adds its row; goes on where it was interrupted."""
    # Asked first, since a page of which there can be no row is not worth hours of training.
    book.page_of(canonical(options.page))
    seeds = options.seeds or [options.page.train.seed]
    workdirs = [pathlib.Path(options.workdir) / f"seed{seed}" for seed in seeds]
    for seed, workdir in zip(seeds, workdirs, strict=True):
        if (workdir / SUMMARY).exists():
            continue
        Console(stderr=True).print(f"seed {seed} in {workdir}", highlight=False, soft_wrap=True)
        try:
            build(override(options.page, [("train.seed", str(seed))]), workdir).train()
        except Interrupted:
            return EXIT_INTERRUPTED
    _say(book.add(workdirs, book.RESULTS))
    return 0


def _say(row):
    Console().print_json(data=row)
