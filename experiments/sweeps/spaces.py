"""The values that a sweep may choose for one key of a page.

log:1e-4..1e-1     a number in the range, uniform in its logarithm
0.0..0.5           a number in the range; an int if the key is one
20,32,44           one of these
"""

import contextlib
import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

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

    @property
    def size(self) -> float:
        """How many values there are; infinite for a range of real numbers."""
        return len(self.choices) or (int(self.high) - int(self.low) + 1 if self.whole else math.inf)

    def distribution(self):
        """The values of a finite space, for optuna."""
        import optuna  # a second, so only where it is used

        if self.choices:
            return optuna.distributions.CategoricalDistribution(self.choices)
        return optuna.distributions.IntDistribution(int(self.low), int(self.high), log=self.log)

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
        values = _try(page, key, choices)
        for place, value in enumerate(values):
            if value in values[:place]:
                raise PageError(f"{where}: duplicate value {choices[place]}")
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


def settings(spaces: Mapping[str, Space]) -> float:
    """How many settings of all keys there are; infinite with a range of real numbers."""
    return math.prod(space.size for space in spaces.values())


def combinations(spaces: Mapping[str, Space]) -> list[dict[str, str]]:
    """A grid. Raises PageError for a continuous range."""
    for key, found in spaces.items():
        if not found.choices:
            raise PageError(f"--over {key}={found.text}: a grid needs values, A,B,C, not a range")
    return [
        dict(zip(spaces, values, strict=True)) for values in itertools.product(*(s.choices for s in spaces.values()))
    ]


def _try(page, key, values: Iterable[str]) -> list[Any]:
    """The values of the key that the texts mean. Raises PageError unless each fits."""
    with _as_over():
        pages = [override(page, [(key, value)]) for value in values]
    return [functools.reduce(lambda section, name: section[name], key.split("."), found) for found in pages]


@contextlib.contextmanager
def _as_over() -> Iterator[None]:
    """Errors name --over in place of --config."""
    try:
        yield
    except PageError as error:
        raise PageError(str(error).replace("--config.", "--over ", 1)) from error
