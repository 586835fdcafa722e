"""What a network raises when it is asked for a variant that does not exist."""

import difflib


class ModelError(ValueError):
    """One clear line for the researcher who wrote the page."""


def choose(table: dict, field: str, value):
    """`table[value]`, or a ModelError that names the field, the choices and the nearest of them."""
    if value in table:
        return table[value]
    near = difflib.get_close_matches(str(value), [str(name) for name in table], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ModelError(f"{field}={value!r} is not one of {', '.join(map(repr, table))}{hint}")
