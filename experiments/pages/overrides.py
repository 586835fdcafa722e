"""Overriding the keys of a page: `--config.section.key=text`, parsed by the type of the key."""

import ast
import copy
from collections.abc import Iterable

from ml_collections import ConfigDict

from experiments.errors import PageError, near
from experiments.pages.schema import COMPONENTS, PLAIN, SECTIONS, component_section, set_key


def check_sections(overrides: Iterable[tuple[str, str]]) -> None:
    """Raises PageError for an override whose section does not exist; imports no component."""
    for path, _ in overrides:
        name, _, key = path.partition(".")
        if name not in SECTIONS:
            raise PageError(f"--config.{path}: unknown section {name!r}{near(name, SECTIONS)}")
        if not key:
            raise PageError(f"--config.{path}: name a key, as in --config.{name}.key=value")


def override(config: ConfigDict, overrides: Iterable[tuple[str, str]]) -> ConfigDict:
    """A copy of `config` with ("section.key", "text") applied, names first: a new name brings its own defaults."""
    overrides = list(overrides)
    check_sections(overrides)
    names = [o for o in overrides if o[0].endswith(".name")]
    config = copy.deepcopy(config)  # keeps placeholders, which have a type
    for path, text in names:
        *parents, _ = path.split(".")
        kind = parents[0]
        if kind not in COMPONENTS:
            raise PageError(f"--config.{path}: {kind} has no name")
        _node(config, parents, path)
        new = ConfigDict(component_section(kind, {"name": text}, parents[1:]))
        with config.unlocked():
            node = config if len(parents) == 1 else _node(config, parents[:-1], path)
            if kind == "data":  # the splits and the augmentation are the experiment's, not the source's
                for key in PLAIN["data"]:
                    new[key] = config.data[key]
            node[parents[-1]] = new
    for path, text in overrides:
        if path.endswith(".name"):
            continue
        node, key = _place(config, path)
        set_key(node, key, _parse(text, node, key, f"--config.{path}"), f"--config.{path}={text}")
    return config.lock()


def kind(config: ConfigDict, path: str) -> type:
    """The type of "section.key". Raises PageError for an unknown key."""
    check_sections([(path, "")])
    node, key = _place(config, path)
    return node.get_type(key)


def _place(config, path):
    """The section of "section.key", and its key there."""
    *parents, key = path.split(".")
    node = _node(config, parents, path)
    if key not in node:
        raise PageError(f"--config.{path}: unknown key {key!r}{near(key, node)}")
    return node, key


def _node(config, parents, path):
    node = config
    for i, key in enumerate(parents):
        if not isinstance(node, ConfigDict) or key not in node:
            raise PageError(f"--config.{path}: unknown key {key!r}{near(key, node)}")
        node = node[key]
        if not isinstance(node, ConfigDict):
            raise PageError(f"--config.{path}: {'.'.join(parents[: i + 1])} has no keys")
    return node


def _parse(text, node, key, where):
    """The value of `text` as the type of `key`."""
    kind = node.get_type(key)
    if kind is str:
        return text
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise PageError(f"{where}={text}: {key} is a bool: true or false")
        return text.lower() == "true"
    if kind is tuple:
        return _parse_tuple(text)
    value = _literal(text)
    return int(value) if kind is int and isinstance(value, float) and value.is_integer() else value


def _literal(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _parse_tuple(text):
    """ "1,2", "(1, 2)", "pad_crop(4), flip" or, where that is not Python, the words between commas."""
    source = f"({text},)"
    try:
        elements = ast.parse(source, mode="eval").body.elts
    except SyntaxError:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if len(elements) == 1 and isinstance(elements[0], ast.Tuple | ast.List):
        elements = elements[0].elts
    return tuple(_literal(ast.get_source_segment(source, element)) for element in elements)
