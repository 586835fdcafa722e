"""What the numbers of a page depend on, in ten digits: its recipe, and the code that carries it out.

Of the code it takes the files that the page's components and the builder import, so that a change of another
network is no change of this page. It is computed from the files alone: a clone without history gives the same digits.
"""

import ast
import functools
import hashlib
import json
import pathlib
from collections.abc import Iterator

from ml_collections import ConfigDict

from data.augment import AUGMENTATIONS
from experiments.pages.schema import COMPONENTS, components
from experiments.pages.stored import canonical

ROOT = pathlib.Path(__file__).parents[2]

# What may differ between a page and its runs: the seed, who judges or follows, where things lie or run, the paper.
FREE = ("train.seed:", "train.judge:", "data.data_dir:", "data.manual_dir:", "devices.", "track.", "paper.")
_ROOMS = ("models", "training", "data", "experiments")
_ALWAYS = ("experiments.build.parts", "training.evaluate")


def fingerprint(page: ConfigDict, root: pathlib.Path = ROOT) -> str:
    """Ten digits that another recipe, or other code in `root`, would not have."""
    recipe = {
        f"{section}.{key}": value
        for section, content in canonical(page).items()
        for key, value in content.items()
        if not f"{section}.{key}:".startswith(FREE)
    }
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    for file in sorted(_reached(_modules(page), root)):
        digest.update(file.encode() + (root / file).read_bytes())
    return digest.hexdigest()[:10]


def _modules(page: ConfigDict) -> Iterator[str]:
    """What the page names, and what carries out every page."""
    yield from _ALWAYS
    targets = [found.target for kind in COMPONENTS for found, _ in components(kind, page[kind]).values()]
    names = [spec.partition("(")[0] for spec in (*page.data.augment, *page.data.evaluate_augment)]
    for target in [*targets, *(AUGMENTATIONS[name] for name in names if name in AUGMENTATIONS)]:
        yield target.partition(":")[0]
    if page.train.judge:
        yield "experiments.evaluation.judge"


def _reached(modules: Iterator[str], root: pathlib.Path) -> set[str]:
    """The files of our rooms that `modules` are, and those that they import at their top, and so on."""
    found, left = set(), list(modules)
    while left:
        file = _file(left.pop(), root)
        if file and file not in found:
            found.add(file)
            left.extend(_imports(file, root))
    return found


@functools.cache  # files do not change under a command that looks at many pages
def _imports(file: str, root: pathlib.Path) -> tuple[str, ...]:
    names = []
    for node in ast.parse((root / file).read_text()).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in inner if _file(name, root)]
            names += modules + [node.module] * (len(modules) < len(inner))
    return tuple(names)


def _file(module: str, root: pathlib.Path) -> str | None:
    if module.partition(".")[0] not in _ROOMS:
        return None
    stem = module.replace(".", "/")
    return next((file for file in (f"{stem}.py", f"{stem}/__init__.py") if (root / file).is_file()), None)
