"""What commands print: lines on stderr, tables on stdout, and never a password."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

WIDTH = 120  # the least of a table; rich takes 80 in a file or a pipe
AS_IT_IS = dict(highlight=False, markup=False, emoji=False)  # names may look like markup: [bold], :smile:

say = Console(stderr=True, soft_wrap=True, **AS_IT_IS).print


def show(table: Table) -> None:
    """Prints a table whose cells are plain text."""
    console = Console(**AS_IT_IS)
    console.width = max(console.width, WIDTH)
    console.print(table)


@contextlib.contextmanager
def drawing(what: str, tell: Callable[[str], None] = say) -> Iterator[None]:
    """A picture that fails inside costs a line, never the numbers beside it."""
    try:
        yield
    except Exception as error:  # of matplotlib, Pillow, a task's own view, a disk
        reason = next(iter(str(error).strip().splitlines()), "")
        tell(f"fovea: no picture {what}: {type(error).__name__}: {reason}")


def masked(url: str) -> str:
    """A URL without its password."""
    head, at, tail = url.rpartition("@")
    user, colon, _ = head.rpartition(":")
    return f"{user}:…@{tail}" if at and colon and not user.endswith("/") and "//" in user else url
