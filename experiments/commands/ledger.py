"""`fovea ledger`: adds a row to the ledger of reproductions, or renders its tables."""

import argparse

from rich.console import Console

from experiments.errors import PageError
from experiments.ledger import rows as book


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("add", "render"))
    parser.add_argument("--workdir", dest="workdirs", nargs="+", metavar="DIR", help="add: the ended runs of one page")


def run(options: argparse.Namespace) -> None:
    """Adds the row of finished runs, or only renders the tables."""
    if options.action == "add":
        if not options.workdirs:
            raise PageError("ledger add needs --workdir DIR …, the runs of one page")
        Console().print_json(data=book.add(options.workdirs, book.RESULTS))
    else:
        book.render(book.RESULTS)
        print(f"{len(book.rows(book.RESULTS))} rows in {book.RESULTS / 'README.md'}")
