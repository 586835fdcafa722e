"""What commands say: lines on stderr, tables on stdout."""

from rich.console import Console
from rich.table import Table

WIDTH = 120  # of a table at least; in a file or a pipe it would be 80

say = Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print


def show(table: Table) -> None:
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(table)
