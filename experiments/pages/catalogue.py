"""The pages of `experiments/configs`, and a user's own, by name.

A page may come in sizes: a file with `SIZES = {"full": …, "small": …}` defines `get_config(size="full")`. The first
size has the name of the file, "dcgan_fashion_mnist"; another is "dcgan_fashion_mnist:small".
"""

import ast
import importlib.util
import pathlib
from typing import Any

from ml_collections import ConfigDict

from experiments.errors import PageError, near

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"


def load(name: str) -> ConfigDict:
    """The page called `name` ("lenet5_digits", "iwae1_mnist:small") or defined in the file `name` ("mine.py:small")."""
    path, size = _resolve(name)
    module = _module(path)
    if not hasattr(module, "get_config"):
        raise PageError(f"{path} defines no get_config()")
    # The first size is the one without a name, whatever the default of get_config is.
    size = size or next(iter(_sizes(path)), "")
    return module.get_config(size) if size else module.get_config()


def search(name: str) -> dict[str, Any]:
    """What the page's own `sweep()` returns: options of `fovea sweep` by name; {} where it has none."""
    module = _module(locate(name))
    return module.sweep() if hasattr(module, "sweep") else {}


def locate(name: str) -> pathlib.Path:
    """The file of a page. Raises PageError with the near miss."""
    return _resolve(name)[0]


def canonical_name(name: str) -> str:
    """The one name of a page: "iwae1_mnist:full" is "iwae1_mnist", and "iwae1_mnist_small" is "iwae1_mnist:small"."""
    path, size = _resolve(name)
    base = path.stem if path.is_relative_to(CONFIGS) else str(path)
    return f"{base}:{size}" if size and size != _sizes(path)[0] else base


def anywhere(name: str) -> str:
    """The name of a page, or the absolute path of its file: valid in every current directory."""
    path, size = _resolve(name)
    return canonical_name(name) if path.is_relative_to(CONFIGS) else f"{path.absolute()}{f':{size}' if size else ''}"


def file_name(name: str) -> str:
    """The name of a page in the names of files and folders: "iwae1_mnist_small"."""
    return name.replace(":", "_")


def pages() -> list[str]:
    """The names of all pages, each size by itself."""
    found = []
    for path in CONFIGS.rglob("*.py"):
        if path.stem != "__init__":
            found += [path.stem, *(f"{path.stem}:{size}" for size in _sizes(path)[1:])]
    return sorted(found)


def summary(name: str) -> str:
    """The first line of a page's docstring, without running it; of a size, what it is a size of."""
    path, size = _resolve(name)
    if size and size != _sizes(path)[0]:
        return f"The size {size!r} of {path.stem}."
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def _resolve(name: str) -> tuple[pathlib.Path, str]:
    """A page's file, and its size, or "" where none is named."""
    base, _, size = name.partition(":")
    path = pathlib.Path(base)
    if not (base.endswith(".py") or "/" in base):
        path = _in_configs(base)
        if path is None and not size:  # "X_small" was the name of X:small
            stem, _, last = base.rpartition("_")
            path, size = _in_configs(stem), last
            if path is None or last not in _sizes(path):
                raise PageError(f"unknown config page {name!r}{near(name, pages())}")
    if path is None or not path.is_file():
        raise PageError(f"there is no page {name}" if path else f"unknown config page {name!r}{near(name, pages())}")
    if size and size not in _sizes(path):
        sizes = _sizes(path)
        raise PageError(f"page {base} has no size {size!r}{near(size, sizes) if sizes else ': it has one size'}")
    return path, size


def _in_configs(stem: str) -> pathlib.Path | None:
    return next(CONFIGS.rglob(f"{stem}.py"), None) if stem.isidentifier() and stem != "__init__" else None


def _sizes(path: pathlib.Path) -> list[str]:
    """The sizes of a page, without running it: the keys or elements of `SIZES`, if its `get_config` takes one."""
    body = ast.parse(path.read_text()).body
    if not any(isinstance(x, ast.FunctionDef) and x.name == "get_config" and x.args.args for x in body):
        return []
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "SIZES":
            value = node.value
            names = value.keys if isinstance(value, ast.Dict) else value.elts if isinstance(value, ast.Tuple) else ()
            return [name.value for name in names if isinstance(name, ast.Constant)]
    return []


def _module(path: pathlib.Path):
    spec = importlib.util.spec_from_file_location(f"fovea_page_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
