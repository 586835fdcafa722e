"""`fovea list`: the names that a page can use, without importing what they name.

`fovea list models` also shows what is published of the classifiers: parameters, multiply-adds of one image, its side in
pixels, and the top-1 accuracy on ImageNet of weights that somebody publishes, with their licence.
"""

import argparse
import ast
import importlib.util
import pathlib

from experiments.pages import catalogue
from experiments.pages.component import find, table
from models.published import LICENCES, PUBLISHED, Published

KINDS = {"models": "model", "tasks": "task", "data": "data"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", choices=(*KINDS, "configs"))


def run(options: argparse.Namespace) -> None:
    for kind in [options.kind] if options.kind else [*KINDS, "configs"]:
        if kind == "configs":
            lines = {name: catalogue.summary(name) for name in catalogue.pages()}
        else:
            lines = {name: _summary(KINDS[kind], name) for name in table(KINDS[kind])}
        print(f"{kind}:")
        for name, text in lines.items():
            print(f"  {name:{max(map(len, lines))}}  {text}")
            if options.kind == "models":
                for row in (row for row in PUBLISHED if row.network == name):
                    print(f"      {_figures(row)}")


def _figures(row: Published) -> str:
    fields = " ".join(f"{key}={value}" for key, value in {**row.fields, "num_classes": row.classes}.items())
    macs = f"{row.macs / 1e9:8.3f} G" if row.macs else " " * 10
    weights = f"  {row.top1:5.2f} % {row.weights}, {LICENCES[row.weights]}" if row.weights else ""
    return f"{fields:56} {row.parameters / 1e6:8.3f} M {macs}  {row.resolution}²{weights}"


def _summary(kind: str, name: str) -> str:
    """The first line of the docstring of the file that defines a component."""
    module = find(kind, name).target.partition(":")[0]
    tree = ast.parse(pathlib.Path(importlib.util.find_spec(module).origin).read_text())
    return (ast.get_docstring(tree) or "").partition("\n")[0]
