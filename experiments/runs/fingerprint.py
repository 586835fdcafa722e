"""What the numbers of a page depend on, in ten digits: its recipe, and the code that bears on them.

Of the code these are the top-level definitions that the page's components and the builder reach by name, wherever
they are: editing another network, adding a loss beside others, or a line in a table of names does not affect this page.
Lines of comment, docstrings and blank lines do not count; a comment behind code does. It is computed from the files
alone: a clone without history gives the same digits.
"""

import ast
import dataclasses
import functools
import hashlib
import json
import pathlib
import re
from collections.abc import Iterable, Iterator

from ml_collections import ConfigDict

from experiments.pages.component import find
from experiments.pages.schema import every_component
from experiments.pages.stored import canonical, flat

ROOT = pathlib.Path(__file__).parents[2]

# What may differ between a page and its runs: the seed, the judge and trackers, where data are and runs run, the paper.
FREE = (
    *("train.seed:", "train.judge:", "data.data_dir:", "data.manual_dir:", "data.cache:"),
    *("devices.", "track.", "paper."),
)
_ROOMS = ("models", "training", "data", "experiments.build", "experiments.evaluation")
# These show or store numbers and do not change them.
_SHOWN = (
    "training.atomic",
    "training.debug",
    "training.pictures",
    "training.records",
    "training.samples",
    "training.trackers",
    "training.views",
    "experiments.build.compilation",
    "experiments.build.cost",
    "experiments.evaluation.figures",
)
_ALWAYS = (("experiments.build.parts", ""), ("training.evaluate", ""))
_MEASURED = (("experiments.evaluation.evaluations", ""), ("experiments.evaluation.snapshots", ""))  # extra measures
_OF_SECTION = {"experiments.build.frozen": "frozen."}  # runs only where the page has keys of this section
_EMPTY = (None, False, 0, "", [], {})

Name = tuple[str, str]  # a module and a top-level name in it; "" for all of the module


def fingerprint(page: ConfigDict, root: pathlib.Path = ROOT) -> str:
    """Ten digits that differ for another recipe, or other code in `root`."""
    # Empty values are left out, so that a new key that is off by default makes no row stale.
    recipe = {
        key: value
        for key, value in flat(canonical(page)).items()
        if not f"{key}:".startswith(FREE) and not any(value == x and type(value) is type(x) for x in _EMPTY)
    }
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    words = frozenset(re.findall(r"\w+", " ".join(map(str, recipe.values()))))
    idle = frozenset(
        module for module, section in _OF_SECTION.items() if not any(key.startswith(section) for key in recipe)
    )
    for (module, name), text in sorted(reached(_entries(page), words, root, idle).items()):
        digest.update(f"{module}:{name}\n{text}".encode())
    return digest.hexdigest()[:10]


def _entries(page: ConfigDict) -> Iterator[Name]:
    """What the page names, and what every page uses."""
    yield from _ALWAYS
    for component in every_component(page):
        module, _, attribute = component.target.partition(":")
        yield module, attribute
    also = [spec for one in page.evaluate.values() for spec in one.also]
    if page.train.judge or also:
        yield from _MEASURED
    if page.train.judge or any(spec.startswith("judge") for spec in also):
        yield "experiments.evaluation.samples", ""
    for name in filter(None, (one.name for one in page.evaluate.values())):
        module, _, attribute = find("data", name).target.partition(":")
        yield module, attribute


def reached(
    entries: Iterable[Name], words: frozenset[str], root: pathlib.Path, idle: frozenset[str] = frozenset()
) -> dict[Name, str]:
    """The definitions that `entries` are or use, directly or not, with their texts.

    Args:
      words: on the page. Only their lines count in a table {"name": "module:attribute"}. In a table that code looks up
        with `choose`, the lines count whose word is on the page or a string in the code that is reached, such as the
        default of a field. If there is none, all lines count.
      idle: modules that do not run for the page.
    """
    entries, strings = list(entries), words
    while True:  # a line of a table may reach code with more strings
        found = _reached(entries, words, strings, root, idle)
        more = strings.union(*(part.strings for parts in found.values() for part in parts))
        if more == strings:
            return {name: "".join(part.text for part in parts) for name, parts in found.items()}
        strings = more


def _reached(entries, words, strings, root, idle) -> dict[Name, list["_Part"]]:
    found: dict[Name, list[_Part]] = {}
    left = list(entries)
    while left:
        module, name = left.pop()
        if not module.startswith(_ROOMS) or module.startswith(_SHOWN) or module in idle or (module, name) in found:
            continue
        content = _content(module, root)
        if name == "":
            left.extend((module, each) for each in content.definitions)
        elif name in content.definitions:
            parts = found[module, name] = _chosen(content.definitions[name], words, strings)
            left.extend(use for part in parts for use in part.uses)
            left.append((module, "<statements>"))
        elif name in content.imports:
            left.append(content.imports[name])
        elif _file(f"{module}.{name}", root):
            left.append((f"{module}.{name}", ""))
        elif "__getattr__" in content.definitions:  # a package that imports its modules when they are first asked for
            inner = [file for file, attribute in content.imports.values() if attribute == ""]
            left.extend([(file, name) for file in inner if name in _content(file, root).definitions] or [(module, "")])
        else:  # defined by a statement, say: all of the module counts
            left.append((module, ""))
    return found


@dataclasses.dataclass(frozen=True)
class _Part:
    """A definition, or a line of a table.

    Attributes:
      uses: the definitions that it names.
      strings: the string constants in it.
      word: by which a page chooses this line.
      imported: whether the line is text, "module:attribute", which is imported only if a page chooses it.
    """

    text: str
    uses: tuple[Name, ...]
    strings: frozenset[str]
    word: str | None = None
    imported: bool = False


@dataclasses.dataclass(frozen=True)
class _Content:
    """The top-level definitions of a module, and the names that it imports, at its top or in a function."""

    definitions: dict[str, list[_Part]]
    imports: dict[str, Name]


def _chosen(parts: list[_Part], words: frozenset[str], strings: frozenset[str]) -> list[_Part]:
    chosen = [part for part in parts if part.word is None or part.word in (words if part.imported else strings)]
    return chosen or [part for part in parts if not part.imported]


@functools.cache  # files do not change under a command that looks at many pages
def _content(module: str, root: pathlib.Path) -> _Content:
    text = (root / _file(module, root)).read_text()
    tree, lines = ast.parse(text), text.splitlines()
    imports = dict(_imports(tree, root))
    own = {name for node in tree.body for name in _names(node)}

    def part(node):
        inside = list(ast.walk(node))
        return _Part(_text(node, inside, lines), tuple(_uses(inside, module, own, imports)), _strings(inside))

    def line(word, value, imported):
        what, inside = f"{word}: {ast.get_source_segment(text, value)}\n", list(ast.walk(value))
        return _Part(what, tuple(_uses(inside, module, own, imports)), _strings(inside), word, imported)

    definitions: dict[str, list[_Part]] = {"<statements>": []}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom) or _is_text(node):
            continue
        for name in _names(node) or ["<statements>"]:
            parts = [line(*entry) for entry in _table(node, _looked_up(root))] or [part(node)]
            definitions.setdefault(name, []).extend(parts)
    return _Content(definitions, imports)


def _names(node: ast.stmt) -> list[str]:
    """The names that a statement at the top of a module defines; none for one that only has an effect."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = {ast.Assign: lambda: node.targets, ast.AnnAssign: lambda: [node.target]}.get(type(node), list)()
    return [leaf.id for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)]


def _table(node: ast.stmt, chosen: frozenset[str]) -> list[tuple[str, ast.AST, bool]]:
    """The lines of a table, (word, value, whether it is text); [] for any other statement."""
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if not (isinstance(value, ast.Dict) and value.keys and all(map(_is_string, value.keys))):
        return []
    first = [x.elts[0] if isinstance(x, ast.Tuple) and x.elts else x for x in value.values]
    texts = all(_is_string(x) and re.fullmatch(r"[\w.]+:\w+", x.value) for x in first)
    if not texts and chosen.isdisjoint(_names(node)):
        return []
    return [(key.value, x, texts) for key, x in zip(value.keys, value.values, strict=True)]


@functools.cache
def _looked_up(root: pathlib.Path) -> frozenset[str]:
    """The names of tables from which a page's word chooses: `choose(LOSSES, …)`."""
    texts = [file.read_text() for room in ("models", "training", "data") for file in (root / room).rglob("*.py")]
    return frozenset(name for text in texts for name in re.findall(r"\bchoose\((?:\w+\.)?(\w+),", text))


def _uses(inside: Iterable[ast.AST], module: str, own: set[str], imports: dict[str, Name]) -> Iterator[Name]:
    """The definitions of our rooms that a piece of code names."""
    for x in inside:
        if (
            isinstance(x, ast.Attribute)
            and isinstance(x.value, ast.Name)
            and imports.get(x.value.id, ("", "x"))[1] == ""
        ):
            yield imports[x.value.id][0], x.attr
        elif isinstance(x, ast.Name) and x.id in own:
            yield module, x.id
        elif isinstance(x, ast.Name) and imports.get(x.id, ("", ""))[1]:
            yield imports[x.id]
        elif _is_string(x) and re.fullmatch(r"[\w.]+:\w+", x.value):
            target, _, attribute = x.value.partition(":")
            yield target, attribute


def _imports(tree: ast.AST, root: pathlib.Path) -> Iterator[tuple[str, Name]]:
    """(name, what it is bound to) of every import of our rooms; a module is (module, "")."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith(_ROOMS):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield alias.asname or alias.name, (inner, "") if _file(inner, root) else (node.module, alias.name)


def _text(node: ast.AST, inside: Iterable[ast.AST], lines: list[str]) -> str:
    """The lines of a piece of code without its docstrings, blank lines and lines of comment."""
    kept = dict(enumerate(lines[node.lineno - 1 : node.end_lineno], node.lineno))
    for x in inside:
        if _is_text(x):
            for line in range(x.lineno, x.end_lineno + 1):
                kept.pop(line, None)
    decorators = [d.lineno for d in getattr(node, "decorator_list", [])]
    before = lines[min(decorators) - 1 : node.lineno - 1] if decorators else []
    return "".join(f"{line}\n" for line in [*before, *kept.values()] if line.strip() and line.strip()[0] != "#")


def _strings(inside: Iterable[ast.AST]) -> frozenset[str]:
    return frozenset(x.value for x in inside if _is_string(x))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and _is_string(node.value)


def _is_string(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _file(module: str, root: pathlib.Path) -> str | None:
    stem = module.replace(".", "/")
    return next((file for file in (f"{stem}.py", f"{stem}/__init__.py") if (root / file).is_file()), None)
