"""The error that a page or a command line can cause, the hint at the end of its message, and exit codes."""

import difflib
from collections.abc import Iterable

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 75  # EX_TEMPFAIL: the state is saved; the same command resumes


class PageError(ValueError):
    """What is wrong with a page or a command line, in one line."""


def near(word: str, choices: Iterable[str]) -> str:
    """': did you mean "x"?' or the list of choices, to end an error message with."""
    choices = sorted(choices)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else f": there is {', '.join(choices) or 'none'}"
