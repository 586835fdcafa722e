"""Which examples a batch holds: samplers are pure functions of (seed, step), so training resumes exactly.

A page writes `sampler="balanced"` or `"pk(16, 4)"`; each name of SAMPLERS leads to a function of the specification's
arguments and the keyword `source` that returns a Sampler. Every process computes the whole batch and takes its rows.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from data.errors import DataError
from data.fields import group_number, joined
from data.source import Source
from data.specs import build_spec, check_range
from data.table import SAMPLERS


@dataclasses.dataclass(frozen=True)
class Sampler:
    """draw: (seed, step, batch_size) -> {"id": [B] int64, "use": [B] int64}, and "id/GROUP", "use/GROUP" [B].

    `use` differs between two uses of an example: all that is random about an example is drawn from both numbers.

    batch_size: the only one that it makes; None: any.
    groups: of unpaired examples, for which it draws as well.
    """

    draw: Callable[[int, int, int], dict[str, np.ndarray]]
    batch_size: int | None = None
    groups: tuple[str, ...] = ()


def make_sampler(spec: str, source: Source) -> Sampler:
    """The sampler that a page names. Raises DataError for an unknown name and for data that it cannot sample."""
    sampler = build_spec(spec, SAMPLERS, "sampler", {"source": source})
    if set(sampler.groups) != set(source.groups):
        raise DataError(f"sampler {spec!r} does not fit data of unpaired groups: write data.sampler='unpaired'")
    return sampler


def shuffled(*, source: Source) -> Sampler:
    """One permutation after another: every example is used equally often."""

    def draw(seed, step, batch_size):
        ids, epochs = permuted(seed, step, batch_size, len(source))
        return {"id": ids, "use": epochs}

    return Sampler(draw)


def unpaired(*, source: Source) -> Sampler:
    """`shuffled`, for each group of unpaired examples by itself. An epoch of each is over all its examples."""
    if not source.groups:
        raise DataError("the data have no groups of unpaired examples")

    def draw(seed, step, batch_size):
        sample = {}
        for group, part in {"": source, **source.groups}.items():
            ids, epochs = permuted(seed, step, batch_size, len(part), group_number(group))
            sample |= {joined("id", group): ids, joined("use", group): epochs}
        return sample

    return Sampler(draw, groups=tuple(source.groups))


def balanced(*, source: Source) -> Sampler:
    """Each row's class is uniform over the classes that have examples, then the example within the class."""
    members = list(_members(source).values())

    def draw(seed, step, batch_size):
        rng = np.random.default_rng((seed, step))
        of_class, place = rng.integers(len(members), size=batch_size), rng.random(batch_size)
        ids = [members[c][int(p * len(members[c]))] for c, p in zip(of_class, place, strict=True)]
        return {"id": np.array(ids, np.int64), "use": _rows(step, batch_size)}

    return Sampler(draw)


def weighted(weights: tuple = (), file: str = "", *, source: Source) -> Sampler:
    """Each row is drawn with a probability in proportion to its weight.

    weights: one per class; every example has that of its class, and an example without a class has 0.
    file: a .npy array [N] of the weights of the examples of the training split, in place of `weights`.
    """
    if bool(weights) == bool(file):
        raise DataError("it takes weights=(…), one per class, or file='weights.npy', one per example")
    if file:
        try:
            each = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"cannot read weights in {file}: {error}") from error
        if each.shape != (len(source),):
            raise DataError(f"{file} has weights {list(each.shape)}, but there are {len(source)} examples")
    else:
        if len(weights) != len(source.info.classes):
            raise DataError(f"there are {len(weights)} weights, but {len(source.info.classes)} classes")
        each = np.array([*weights, 0.0])[source.labels()]
    if not np.isfinite(each).all() or (each < 0).any() or not each.sum() > 0:
        raise DataError("weights are finite and at least 0, and some example has one above 0")
    ends = np.cumsum(each, dtype=np.float64)
    used = np.flatnonzero(each)  # rounding may put a draw at the very end, where the weight may be 0

    def draw(seed, step, batch_size):
        place = np.random.default_rng((seed, step)).random(batch_size) * ends[-1]
        ids = np.minimum(np.searchsorted(ends, place, side="right"), used[-1])
        return {"id": ids.astype(np.int64), "use": _rows(step, batch_size)}

    return Sampler(draw)


def pk(p: int, k: int, *, source: Source) -> Sampler:
    """`p` classes, and `k` examples of each: rows c·k to (c + 1)·k - 1 are of one class (Hermans et al. 2017).

    The classes are drawn without replacement from those with two examples or more. A class with fewer than `k`
    examples repeats them equally often; the others repeat none within a batch.
    """
    check_range("p", p, 1)
    check_range("k", k, 1)
    least = min(k, 2)
    members = [ids for ids in _members(source).values() if len(ids) >= least]
    if len(members) < p:
        raise DataError(f"it needs {p} classes of {least} or more examples, but there are {len(members)}")

    def draw(seed, step, batch_size):
        rng = np.random.default_rng((seed, step))
        ids = []
        for c in rng.choice(len(members), p, replace=False):
            rounds = -(-k // len(members[c]))
            some = np.concatenate([rng.permutation(len(members[c])) for _ in range(rounds)])[:k]
            ids.append(members[c][some])
        return {"id": np.concatenate(ids), "use": _rows(step, batch_size)}

    return Sampler(draw, batch_size=p * k)


def indices(seed: int, step: int, batch_size: int, num_examples: int) -> np.ndarray:
    """Ids [batch_size] int64 of the shuffled batch at `step`, any batch size."""
    return permuted(seed, step, batch_size, num_examples)[0]


def permuted(
    seed: int, step: int, batch_size: int, num_examples: int, stream: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(ids, epochs), each [batch_size] int64: one permutation per epoch, those of another `stream` being others."""
    positions = step * batch_size + np.arange(batch_size, dtype=np.int64)
    epochs, places = np.divmod(positions, num_examples)
    ids = np.empty(batch_size, np.int64)
    for epoch in range(epochs[0], epochs[-1] + 1):
        ids[epochs == epoch] = _permutation(seed, epoch, num_examples, stream)[places[epochs == epoch]]
    return ids, epochs


@functools.lru_cache(maxsize=8)
def _permutation(seed: int, epoch: int, num_examples: int, stream: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, stream) if stream else (seed, epoch)).permutation(num_examples)


def _rows(step: int, batch_size: int) -> np.ndarray:
    """[B] int64, a number for each draw ever made."""
    return step * batch_size + np.arange(batch_size, dtype=np.int64)


def _members(source: Source) -> dict[int, np.ndarray]:
    """class -> the ids of its examples, of the classes that have any."""
    labels = source.labels()
    order = np.argsort(labels, kind="stable")
    classes, starts = np.unique(labels[order], return_index=True)
    parts = np.split(order, starts[1:])
    found = {int(c): ids for c, ids in zip(classes, parts, strict=True) if c >= 0}
    if not found:
        raise DataError("no example has a class")
    return found
