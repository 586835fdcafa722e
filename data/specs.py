"""Specifications in pages, `"pad_crop(4)"` or `"pk(16, k=4)"`: a name of a table and literal arguments."""

import ast
import inspect
import typing
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from data.errors import DataError, unknown


def build_spec(spec: str, table: Mapping[str, str], what: str, supplied: Mapping[str, Any]) -> Any:
    """The result of the function that `spec` names in `table` ("module:function"), called with its arguments.

    `what` is the word for messages ("augmentation"). Of `supplied` the function gets the arguments that it takes; a
    specification cannot set them. Raises DataError for an unknown name or an unsuitable argument.
    """
    name, args, kwargs = parse_spec(spec, what)
    if name not in table:
        raise unknown(what, name, table)
    module, function = table[name].split(":")
    factory = getattr(import_module(module), function)

    parameters = dict(inspect.signature(factory).parameters)
    given = {key: value for key, value in supplied.items() if parameters.pop(key, None)}
    for key in kwargs:
        if key not in parameters:
            raise unknown(f"argument of {name}", key, parameters)
    try:
        bound = inspect.Signature(list(parameters.values())).bind(*args, **kwargs)
    except TypeError as error:
        usage = ", ".join(str(parameter) for parameter in parameters.values())
        raise DataError(f"{what} {spec!r}: {error}; it is {name}({usage})") from None
    hints = typing.get_type_hints(factory)
    for key, value in bound.arguments.items():
        expected = typing.get_origin(hints[key]) or hints[key]
        # An int is accepted for a float, but a bool is neither.
        fits = isinstance(value, (int, float) if expected is float else expected)
        if not fits or (isinstance(value, bool) and expected is not bool):
            raise DataError(f"{what} {spec!r}: {key} takes {expected.__name__}, not {value!r}")
    try:
        return factory(*bound.args, **bound.kwargs, **given)
    except DataError as error:
        raise DataError(f"{what} {spec!r}: {error}") from None


def parse_spec(spec: str, what: str) -> tuple[str, list, dict]:
    """`"cutout(16, probability=0.5)"` -> ("cutout", [16], {"probability": 0.5}); nothing is evaluated."""
    try:
        tree = ast.parse(spec.strip(), mode="eval").body
        call = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
        args = [ast.literal_eval(value) for value in call.args]
        kwargs = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        if not isinstance(call.func, ast.Name) or None in kwargs:
            raise ValueError
    except (SyntaxError, ValueError, AttributeError, TypeError):
        raise DataError(f"{what} {spec!r} is not of the form name(value, key=value)") from None
    return call.func.id, args, kwargs


def check_range(name: str, value: float, low: float, high: float = float("inf")):
    """Raises DataError unless low ≤ value ≤ high."""
    if not low <= value <= high:
        bounds = f"at least {low}" if high == float("inf") else f"between {low} and {high}"
        raise DataError(f"{name} is {value}, but must be {bounds}")
