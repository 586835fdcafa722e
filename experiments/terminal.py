"""What commands print: lines on stderr, tables on stdout, and never a password."""

from rich.console import Console
from rich.table import Table

WIDTH = 120  # the least of a table; rich takes 80 in a file or a pipe

say = Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print


def show(table: Table) -> None:
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(table)


def masked(url: str) -> str:
    """A URL without its password."""
    head, at, tail = url.rpartition("@")
    user, colon, _ = head.rpartition(":")
    return f"{user}:…@{tail}" if at and colon and not user.endswith("/") and "//" in user else url
