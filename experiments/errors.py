"""The error that a page or a command line can cause, and the hint that ends its message."""

import difflib
from collections.abc import Iterable


class PageError(ValueError):
    """What is wrong with a page or an override, in one line."""


def near(word: str, choices: Iterable[str]) -> str:
    """' (did you mean "x"?)' or the list of choices, to end an error message with."""
    choices = sorted(choices)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else f": there is {', '.join(choices)}"
