"""`fovea list`: the names that a page can use, without importing what they name."""

import argparse
import ast
import importlib.util
import pathlib

from experiments.pages import catalogue
from experiments.pages.component import find, table

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


def _summary(kind: str, name: str) -> str:
    """The first line of the docstring of the file that defines a component."""
    module = find(kind, name).target.partition(":")[0]
    tree = ast.parse(pathlib.Path(importlib.util.find_spec(module).origin).read_text())
    return (ast.get_docstring(tree) or "").partition("\n")[0]
