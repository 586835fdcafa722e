"""What commands print: lines on stderr, tables on stdout, and never a password."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

WIDTH = 120  # the least of a table; rich takes 80 in a file or a pipe


def console(**options) -> Console:
    """A console for which "[bold]" and ":smile:" in a name are text."""
    return Console(markup=False, emoji=False, **options)


say = console(stderr=True, highlight=False, soft_wrap=True).print


def show(table: Table) -> None:
    """Prints a table on stdout, at least WIDTH wide."""
    wide = console()
    wide.width = max(wide.width, WIDTH)
    wide.print(table)


@contextlib.contextmanager
def drawing(what: str, tell: Callable[[str], None] = lambda line: say(f"fovea: {line}")) -> Iterator[None]:
    """A picture that cannot be drawn costs a line, and never the numbers that it shows."""
    try:
        yield
    except Exception as error:  # whatever a drawing library makes of a name or a number
        reason = (str(error).strip().splitlines() or [""])[0]
        tell(f"{what} could not be drawn: {type(error).__name__}: {reason}")


def masked(url: str) -> str:
    """A URL without its password."""
    head, at, tail = url.rpartition("@")
    user, colon, _ = head.rpartition(":")
    return f"{user}:…@{tail}" if at and colon and not user.endswith("/") and "//" in user else url
