"""The options of a source's function as flat keys of a page: those of a dataclass in its signature are its fields."""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any


def parameters(function: Callable) -> dict[str, inspect.Parameter]:
    """name -> parameter, with resolved annotations; a parameter whose default is a dataclass gives its fields."""
    hints, found = typing.get_type_hints(function), {}
    for name, parameter in inspect.signature(function).parameters.items():
        if dataclasses.is_dataclass(parameter.default):
            hints |= typing.get_type_hints(type(parameter.default))
            fields = dataclasses.asdict(parameter.default)
            found |= {key: parameter.replace(name=key, default=value) for key, value in fields.items()}
        else:
            found[name] = parameter
    return {name: parameter.replace(annotation=hints.get(name, Any)) for name, parameter in found.items()}


def bound(function: Callable, options: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of `function` that the flat `options` give, its dataclasses with them."""
    given, left = {}, dict(options)
    for name, parameter in inspect.signature(function).parameters.items():
        if dataclasses.is_dataclass(parameter.default):
            fields = {key: left.pop(key) for key in dataclasses.asdict(parameter.default) if key in left}
            given[name] = dataclasses.replace(parameter.default, **fields)
    return {**given, **left}
