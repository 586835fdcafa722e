"""Errors that a network raises for bad fields, images or weights."""

import difflib


class ModelError(ValueError):
    """What is wrong with a network, for the researcher who wrote the page."""


def choose(table: dict, field: str, value):
    """`table[value]`. Raises ModelError with the field, the choices and the nearest choice if it is missing."""
    if value in table:
        return table[value]
    near = difflib.get_close_matches(str(value), [str(name) for name in table], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ModelError(f"{field}={value!r} is not one of {', '.join(map(repr, table))}{hint}")


def check_length(field: str, values: tuple, count: int) -> None:
    """Raises ModelError unless a field that replaces a row of a table, if it is given, has `count` values."""
    if values and len(values) != count:
        raise ModelError(f"{field}={values} has {len(values)} values, not {count}")
