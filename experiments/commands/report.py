"""`fovea report`: runs, sweeps and the ledger as one page of HTML that needs nothing but a browser."""

import argparse
import base64
import hashlib
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from experiments.errors import PageError
from experiments.report.gather import gather

HTML = pathlib.Path(__file__).parents[1] / "report" / "html"
STYLES = ("uplot/uPlot.min.css", "report.css")
SCRIPTS = ("page", "lines", "chart", "curves", "tables", "pictures", "plots", "sweeps", "report")  # in this order


def report(options: argparse.Namespace) -> None:
    """Writes the page about what is in some folders."""
    out = pathlib.Path(options.out)
    if not out.parent.is_dir():
        raise PageError(f"--out {out}: there is no folder {out.parent}")
    if out.is_dir():
        raise PageError(f"--out {out} is a folder: name a file in it")
    data = gather([pathlib.Path(folder) for folder in options.folders])
    out.write_text(render(data))
    counts = {"run": len(data["runs"]), "sweep": len(data["sweeps"])}
    said = [f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items() if count]
    print(f"{out}: {', '.join(said) or 'the ledger'}, {out.stat().st_size / 1e6:.1f} MB")


def render(data: Mapping[str, Any]) -> str:
    """The page that shows what `experiments.report.gather.gather` has found.

    Its policy lets it run these scripts and no others, and reach no network, whatever stands in the data.
    """
    read = lambda names: "\n".join((HTML / name).read_text() for name in names)
    script = read(["uplot/uPlot.iife.min.js", *(f"{name}.js" for name in SCRIPTS)])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {
        "policy": f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        "style": read(STYLES),
        "script": script,
        "data": json.dumps(data).replace("<", "\\u003c"),  # no text in it ends the element that holds it
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], read(["report.html"]))
