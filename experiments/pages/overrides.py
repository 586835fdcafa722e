"""Overriding the keys of a page: `--config.section.key=text`, parsed by the type of the key."""

import ast
import copy
from collections.abc import Iterable

from ml_collections import ConfigDict

from experiments.errors import PageError, near
from experiments.pages.component import find
from experiments.pages.schema import COMPONENTS, KEYED, PLAIN, SECTIONS, component_section, entry, is_component, set_key


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
    config = copy.deepcopy(config)  # keeps placeholders, which have a type
    names = {path: text for path, text in overrides if _names_component(path)}
    for path in sorted(names, key=lambda path: path.count(".")):  # the outer ones first
        _rename(config, path, names)
    for path, text in overrides:
        if path not in names:
            _add_entry(config, path)
            node, key = _place(config, path)
            set_key(node, key, _parse(text, node, key, f"--config.{path}"), f"--config.{path}={text}")
    return config.lock()


def _names_component(path):
    section, _, key = path.partition(".")
    if key.rpartition(".")[2] != "name" or section == "evaluate":
        return False
    if section not in COMPONENTS:
        raise PageError(f"--config.{path}: {section} has no name")
    if section in KEYED and key == "name":
        raise PageError(f"--config.{path}: name an entry, as in --config.{section}.KEY.name=…")
    return True


def _rename(config, path, names):
    """Sets a component, and the networks inside it that `names` gives, to their defaults."""
    *parents, _ = path.split(".")
    kind, below = parents[0], parents[1:]
    outer = _node(config, parents[:-1], path)
    if below and not _may_hold(kind, outer, below[-1]):
        key = below[-1]
        wrong = f"{key} is not a network" if key in outer else f"unknown key {key!r}{near(key, outer)}"
        raise PageError(f"--config.{path}: {wrong}")
    new = ConfigDict(component_section(kind, _named(parents, names), below))
    if kind == "data":  # the splits and the augmentation belong to the experiment, not to the source
        for key in PLAIN["data"]:
            new[key] = config.data[key]
    elif kind in KEYED and len(below) == 1 and below[0] in outer:
        for key in PLAIN[kind]:
            new[key] = outer[below[0]][key]
    with config.unlocked():
        outer[parents[-1]] = new


def _named(parents, names):
    """{"name": …, "backbone": {"name": …}} of the overrides that name the component at `parents` and inside it."""
    given, prefix = {}, ".".join(parents) + "."
    for path, text in names.items():
        if path.startswith(prefix):
            *inner, _ = path.removeprefix(prefix).split(".")
            part = given
            for key in inner:
                part = part.setdefault(key, {})
            part["name"] = text
    return given


def _may_hold(kind, outer, key):
    """Whether a section has a component under a key, or takes a new one."""
    if key in outer and is_component(outer[key]):
        return True
    return key in find(kind, outer["name"]).networks() if "name" in outer else kind in KEYED


def _add_entry(config, path):
    """Adds the set that `evaluate.KEY.split` names, if there is none."""
    section, _, rest = path.partition(".")
    key, _, last = rest.partition(".")
    if section == "evaluate" and last == "split" and key not in config.evaluate:
        with config.unlocked():
            config.evaluate[key] = ConfigDict(entry(section, key, {}))


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
