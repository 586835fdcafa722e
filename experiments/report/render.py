"""The HTML page of a report: one file that needs nothing but a browser."""

import base64
import hashlib
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

HTML = pathlib.Path(__file__).parent / "html"
STYLES = ("uplot/uPlot.min.css", "report.css")
SCRIPTS = ("page", "lines", "chart", "curves", "tables", "pictures", "plots", "sweeps", "report")  # in this order


def render(data: Mapping[str, Any]) -> str:
    """The page of the data that `experiments.report.gather.gather` returns.

    Its policy allows these scripts and no others, and no network, whatever the data contain.
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
