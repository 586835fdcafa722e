"""The values that a sweep may choose for one key of a page.

log:1e-4..1e-1     a number in the range, uniform in its logarithm
0.0..0.5           a number in the range; an int if the key is one
20,32,44           one of these
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping

from ml_collections import ConfigDict

from experiments.errors import PageError
from experiments.pages.overrides import kind, override


@dataclasses.dataclass(frozen=True)
class Space:
    """The values that a key may have: `choices`, or all from `low` to `high`.

    Attributes:
      text: as it was given.
    """

    text: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False  # whether the key is an int

    def suggest(self, trial, key: str) -> str:
        """The value that an optuna trial suggests, as the text of an override."""
        if self.choices:
            return trial.suggest_categorical(key, self.choices)
        if self.whole:
            return str(trial.suggest_int(key, int(self.low), int(self.high), log=self.log))
        return repr(trial.suggest_float(key, self.low, self.high, log=self.log))


def spaces(over: Mapping[str, str], page: ConfigDict) -> dict[str, Space]:
    """The spaces of a page's keys. Raises PageError for an unknown key or a malformed space."""
    return {key: space(key, text, page) for key, text in over.items()}


def space(key: str, text: str, page: ConfigDict) -> Space:
    where = f"--over {key}={text}"
    log, bounds = text.startswith("log:"), text.removeprefix("log:")
    if ".." not in bounds:
        choices = tuple(word.strip() for word in bounds.split(","))
        if log or not all(choices):
            raise PageError(f"{where}: a space is log:LOW..HIGH, LOW..HIGH or A,B,C")
        if len(set(choices)) < len(choices):
            raise PageError(f"{where}: duplicate value")
        _try(page, key, choices)
        return Space(text, choices)
    try:
        low, high = map(float, bounds.split(".."))
    except ValueError:
        raise PageError(f"{where}: {bounds!r} is not like 1e-4..1e-1") from None
    if not low < high:
        raise PageError(f"{where}: the range is empty: {low:g} is not less than {high:g}")
    if log and low <= 0:
        raise PageError(f"{where}: log spaces need positive bounds, not {low:g}")
    with _as_over():
        whole = kind(page, key) is int
    if whole and not (low.is_integer() and high.is_integer()):
        raise PageError(f"{where}: {key} is an int: its bounds are ints too")
    ends = [str(int(x)) if whole else repr(x) for x in (low, high)]
    _try(page, key, ends)
    return Space(text, low=low, high=high, log=log, whole=whole)


def combinations(spaces: Mapping[str, Space]) -> list[dict[str, str]]:
    """A grid. Raises PageError for a continuous range."""
    for key, found in spaces.items():
        if not found.choices:
            raise PageError(f"--over {key}={found.text}: a grid needs values, A,B,C, not a range")
    return [
        dict(zip(spaces, values, strict=True)) for values in itertools.product(*(s.choices for s in spaces.values()))
    ]


def _try(page, key, values: Iterable[str]) -> None:
    """Raises PageError unless every value fits the key."""
    with _as_over():
        for value in values:
            override(page, [(key, value)])


@contextlib.contextmanager
def _as_over() -> Iterator[None]:
    """Errors name --over in place of --config."""
    try:
        yield
    except PageError as error:
        raise PageError(str(error).replace("--config.", "--over ", 1)) from error
