"""The error that a user of the data room can cause: always one clear line."""

import difflib
from collections.abc import Iterable


class DataError(ValueError):
    """A fault of the data or of a page's `data` that the user can fix, and the nearest valid choice."""


def near(given: str, choices: Iterable[str], count: int = 1) -> list[str]:
    """At most `count` of the choices that are like `given`, the nearest first."""
    return difflib.get_close_matches(given, list(choices), n=count, cutoff=0.5)


def unknown(what: str, given: str, choices: Iterable[str]) -> DataError:
    """The error for a name that is not among `choices`: it names the nearest one, or lists them."""
    choices = list(choices)
    found = near(given, choices)
    hint = f"did you mean {found[0]!r}?" if found else f"there is {', '.join(choices[:20]) or 'none'}"
    return DataError(f"no {what} {given!r}: {hint}")


def one_line(text: str) -> str:
    """`text` with line breaks, control characters and bytes that are not UTF-8 (of names of files) as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
