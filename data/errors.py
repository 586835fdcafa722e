"""The error that a user of the data room can cause: always one clear line."""

import difflib
from collections.abc import Iterable


class DataError(ValueError):
    """What the user can put right about the data: what is wrong, where, and the nearest valid choice."""


def unknown(what: str, given: str, choices: Iterable[str]) -> DataError:
    """The error for a name that is not among `choices`; names the near miss, else all that exist."""
    choices = list(choices)
    near = difflib.get_close_matches(given, choices, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(choices[:20]) or 'none'}"
    return DataError(f"no {what} {given!r}: {hint}")
