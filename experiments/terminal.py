"""What commands print: lines on stderr, tables on stdout, and never a password."""

import contextlib
import sys
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


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[[str, float], None]]:
    """Gives a function that shows a stage and its seconds: in place in a terminal, otherwise a line for each stage."""
    console = Console(stderr=True, **AS_IT_IS)
    if console.is_terminal:
        with console.status(f"{what} …") as status:
            yield lambda stage, seconds: status.update(f"{what}: {stage} … {seconds:.0f} s")
        return
    seen: set[str] = set()

    def tell(stage: str, seconds: float) -> None:
        if stage not in seen:
            seen.add(stage)
            print(f"{what}: {stage} … {seconds:.0f} s", file=sys.stderr, flush=True)

    yield tell


def masked(url: str) -> str:
    """A URL without its password."""
    head, at, tail = url.rpartition("@")
    user, colon, _ = head.rpartition(":")
    return f"{user}:…@{tail}" if at and colon and not user.endswith("/") and "//" in user else url
