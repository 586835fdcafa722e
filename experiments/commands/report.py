"""`fovea report`: runs, sweeps and the ledger as one page of HTML that needs nothing but a browser."""

import argparse
import pathlib

from experiments.commands.values import output
from experiments.errors import PageError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", nargs="*", metavar="DIR", help="a run, a sweep, or a folder of them")
    parser.add_argument("--out", type=output, default="report.html", metavar="FILE")


def run(options: argparse.Namespace) -> None:
    """Writes the page about the runs and sweeps in some folders."""
    from experiments.report.gather import gather
    from experiments.report.render import render

    out = pathlib.Path(options.out)
    if not out.parent.is_dir():
        raise PageError(f"--out {out}: there is no folder {out.parent}")
    data = gather([pathlib.Path(folder) for folder in options.folders])
    out.write_text(render(data))
    counts = {"run": len(data["runs"]), "sweep": len(data["sweeps"])}
    said = [f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items() if count]
    print(f"{out}: {', '.join(said) or 'the ledger'}, {out.stat().st_size / 1e6:.1f} MB")
