"""Alternatives of a page: those that the user names, those that may fit where the page does not, the largest batch."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

from ml_collections import ConfigDict

from experiments.errors import PageError
from experiments.rehearse.devices import Place
from experiments.rehearse.verdict import Row

Changes = tuple[tuple[str, str], ...]  # keys of the page and their values
BATCH = "train.batch_size"
FINE = 32  # the largest batch is found to within this part of itself


def alternatives(tries: Sequence[tuple[str, Sequence[str]]]) -> list[Changes]:
    """Every combination of the values of the keys; the page as it is where there is none."""
    keys = [key for key, _ in tries]
    return [tuple(zip(keys, values, strict=True)) for values in itertools.product(*(values for _, values in tries))]


def suggestions(page: ConfigDict, place: Place) -> Iterator[Changes]:
    """What may make a page fit, the least change first: remat, parameters shared by devices, smaller batches."""
    from experiments.build.cost import with_remat

    lighter = with_remat(page)
    remat = tuple((key, "true") for key in _switched(page, lighter)) if lighter else ()
    whole = place.per_host > 1 and page.devices.fsdp == 1
    shared = (("devices.kind", "mesh"), ("devices.fsdp", str(place.per_host))) if whole else ()
    tried = list(dict.fromkeys(x for x in (remat, shared, remat + shared) if x))
    yield from tried
    most = tried[-1] if tried else ()
    size, least = page.train.batch_size // 2, place.count * page.train.accumulate
    while size >= least:
        size -= size % least
        yield (*most, (BATCH, str(size)))
        size //= 2


def _switched(page: ConfigDict, other: ConfigDict, path: str = "model") -> list[str]:
    """The keys of the section `model` in which two pages differ."""
    return [where for where, a, b in _pairs(page.model, other.model, path) if a != b]


def _pairs(a: ConfigDict, b: ConfigDict, path: str):
    for key in a:
        if isinstance(a[key], ConfigDict):
            yield from _pairs(a[key], b[key], f"{path}.{key}")
        else:
            yield f"{path}.{key}", a[key], b[key]


@dataclasses.dataclass(frozen=True)
class Largest:
    """The largest batch that fits.

    Attributes:
      size: the global batch; 0 where not even the smallest fits.
      row: of that batch, or of the smallest one.
      exceeds: the smallest batch that was seen not to fit; 0: none was.
    """

    size: int
    row: Row
    exceeds: int


def largest_batch(unit: int, first: int, rehearse: Callable[[int], Row], most: int = 2**20) -> Largest:
    """Searches the batches that are multiples of `unit`, up to `most`, to within a 32nd of the answer.

    Memory is nearly linear in the batch, so that the next guess lies where the line through two known batches meets
    the limit, kept inside the bracket: a bisection that knows where to cut.

    Args:
      unit: examples that all devices and microbatches share evenly.
      first: the batch to begin with.
      rehearse: of a batch.

    Raises PageError where a program does not compile for another reason than memory.
    """
    rows: dict[int, Row] = {}

    def fits(units: int) -> bool:
        row = rows[units] = rehearse(units * unit)
        if row["fits"] is None:
            raise PageError(f"at {BATCH}={units * unit} the program does not compile: {row['reason']}")
        return row["fits"]

    low, high = 0, max(first // unit, 1)
    while fits(high) and (high + 1) * unit <= most:
        low, high = high, min(_beyond(rows, low, high), most // unit)
    if rows[high]["fits"]:
        return Largest(high * unit, rows[high], 0)
    while high - low > max(low // FINE, 1):
        guess = _crossing(rows, low, high)
        low, high = (guess, high) if fits(guess) else (low, guess)
    return Largest(low * unit, rows[low or high], high * unit)


def _beyond(rows: dict[int, Row], low: int, high: int) -> int:
    """A batch that may not fit, where the two before it fit: a little behind where their line meets the limit."""
    if low not in rows or rows[high]["peak"] <= rows[low]["peak"]:
        return 2 * high
    slope = (rows[high]["peak"] - rows[low]["peak"]) / (high - low)
    meets = high + (rows[high]["limit"] - rows[high]["peak"]) / slope
    return min(max(math.ceil(1.05 * meets), high + 1), 16 * high)


def _crossing(rows: dict[int, Row], low: int, high: int) -> int:
    """Between the bracket's ends: where the line through the peaks there meets the limit, or their middle."""
    middle = (low + high) // 2
    if low not in rows:
        return middle
    a, b, limit = rows[low]["peak"], rows[high]["peak"], rows[high].get("exceeds", rows[high]["limit"])
    if not a < limit < b:
        return middle
    guess = low + math.floor((high - low) * (limit - a) / (b - a))
    return min(max(guess, low + max((high - low) // 8, 1)), high - max((high - low) // 8, 1))


def named(changes: Sequence[tuple[str, str]]) -> str:
    """As it is written on the command line."""
    return " ".join(f"--config.{key}={value}" for key, value in changes) or "the page"
