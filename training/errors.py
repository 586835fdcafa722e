"""The error of this room that a user can cause and mend."""

import difflib
from collections.abc import Mapping
from typing import Any


class TrainingError(ValueError):
    """One clear line: what is wrong, where, and the nearest valid choice."""


def choose(table: Mapping[str, Any], key: str, name: str) -> Any:
    """The value of `name` in `table`. Raises TrainingError naming the page's `key` and the near miss."""
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(table)}"
        raise TrainingError(f"{key}={name!r} is unknown: {hint}")
    return table[name]
