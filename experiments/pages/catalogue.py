"""The pages of `experiments/configs`, and a user's own, by name."""

import ast
import importlib.util
import pathlib
from typing import Any

from ml_collections import ConfigDict

from experiments.errors import PageError, near

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"


def load(name: str) -> ConfigDict:
    """The page called `name` ("lenet5_digits") or defined in the file `name`."""
    module = _module(name)
    if not hasattr(module, "get_config"):
        raise PageError(f"{locate(name)} defines no get_config()")
    return module.get_config()


def search(name: str) -> dict[str, Any]:
    """What the page's own `sweep()` returns: options of `fovea sweep` by name; {} where it has none."""
    module = _module(name)
    return module.sweep() if hasattr(module, "sweep") else {}


def _module(name):
    path = locate(name)
    spec = importlib.util.spec_from_file_location(f"fovea_page_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def locate(name: str) -> pathlib.Path:
    """The file of a page. Raises PageError with the near miss."""
    if name.endswith(".py") or "/" in name:
        path = pathlib.Path(name)
        if path.is_file():
            return path
        raise PageError(f"there is no page {name}")
    found = next(CONFIGS.rglob(f"{name}.py"), None) if name.isidentifier() and name != "__init__" else None
    if found is None:
        raise PageError(f"unknown config page {name!r}{near(name, pages())}")
    return found


def anywhere(name: str) -> str:
    """The name of a page, or the absolute path of its file: valid in every current directory."""
    path = locate(name)
    return name if path.is_relative_to(CONFIGS) else str(path.absolute())


def pages() -> list[str]:
    """The short names of all pages."""
    return sorted(p.stem for p in CONFIGS.rglob("*.py") if p.stem != "__init__")


def summary(name: str) -> str:
    """The first line of a page's docstring, without running it."""
    return (ast.get_docstring(ast.parse(locate(name).read_text())) or "").partition("\n")[0]
