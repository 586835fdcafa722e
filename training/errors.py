"""The error of this room that a user can cause and mend."""

import difflib
from collections.abc import Collection, Mapping
from typing import Any


class TrainingError(ValueError):
    """One clear line: what is wrong, where, and the nearest valid choice."""


def nearest(name: str, names: Collection[str]) -> str:
    """The hint of an error: the name that was probably meant, or else the first twenty that there are."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there is {', '.join([*names][:20]) or 'none'}"


def check(names: Collection[str], key: str, name: str) -> None:
    """Raises TrainingError unless `name` is one of `names`, with the page's `key` and the near miss."""
    if name not in names:
        raise TrainingError(f"{key}={name!r} is unknown: {nearest(name, names)}")


def choose(table: Mapping[str, Any], key: str, name: str) -> Any:
    """The value of `name` in `table`. Raises TrainingError with the page's `key` and the near miss."""
    check(table, key, name)
    return table[name]
