"""How batches are made: a batch is a function of (seed, step), so the position in the data is the step.

Training reads the endless stream of a sampler (data/samplers.py). With `resident` the feed carries only ids and the
arrays are gathered on the device; without, Grain's threads fetch and decode ahead. Both use the same ids, so both give
the same batches.
"""

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping

import numpy as np

from data.errors import DataError
from data.fields import joined
from data.samplers import Sampler, make_sampler
from data.source import Source


def resident_arrays(source: Source, limit: int = 2**30) -> dict[str, np.ndarray] | None:
    """The whole source as arrays for the device if its fields take at most `limit` bytes; None: stream it.

    An array of a group of unpaired examples is as long as its group, and is gathered by the ids of its group.
    """
    if sum(_bytes(part, group) for group, part in _groups(source).items()) > limit:
        return None
    arrays = {}
    for part in _groups(source).values():
        own = part.resident()
        if own is None:
            return None
        check_examples(own, np.arange(len(part)), source)
        arrays |= own
    return arrays


def _groups(source: Source) -> dict[str, Source]:
    return {"": source, **source.groups}


def _bytes(part: Source, group: str) -> int:
    own = [field for field in part.info.fields.values() if field.group == group]
    return len(part) * sum(int(np.prod(field.shape, dtype=np.int64)) * np.dtype(field.dtype).itemsize for field in own)


def check_examples(examples: Mapping[str, np.ndarray], ids: np.ndarray, source: Source) -> None:
    """Raises DataError for arrays that are not as `source.info` declares them, naming the first wrong example.

    They must be declared and have the declared shape, and classes and words must exist; -1 means without a class.
    """
    for name, array in examples.items():
        field = source.info.fields.get(name)
        if field is None:
            raise DataError(f"the data give {name!r}, which their info does not declare")
        if array.shape[1:] != tuple(field.shape):
            raise DataError(f"the data give {name!r} of shape {array.shape[1:]}, but declare {tuple(field.shape)}")
        if not field.names or field.kind not in ("label", "labels", "mask", "tokens"):
            continue
        what, least = ("words", 0) if field.kind == "tokens" else ("classes", -1)
        if array.size and (array.min() < least or array.max() >= len(field.names)):
            wrong = (array < least) | (array >= len(field.names))
            first = np.flatnonzero(wrong.reshape(len(array), -1).any(1))[0]
            where = "" if name == "label" else f" in {name!r}"
            value = array[first][wrong[first]].ravel()[0]
            article = "the label" if field.kind in ("label", "labels") else "the value"
            raise DataError(
                f"example {ids[first]} has {article} {value}{where}, but there are {len(field.names)} {what}"
            )


def examples(source: Source, sample: Mapping[str, np.ndarray], seed: int | None = None) -> dict[str, np.ndarray]:
    """The arrays of a batch: of each group the examples "id" ("id/GROUP") of `sample`, each [B] int64.

    seed: of training, where random crops are drawn from (seed, "use", id); None: crops are central.
    """
    batch = {}
    for group, part in _groups(source).items():
        ids, keys = sample[joined("id", group)], None
        if seed is not None:
            keys = np.stack([np.full_like(ids, seed), sample[joined("use", group)]], axis=1)
        own = part.fetch(ids, keys)
        check_examples(own, ids, source)
        batch |= own
    return batch


def in_order(source: Source, positions: np.ndarray) -> dict[str, np.ndarray]:
    """ "id" [B], and "id/GROUP" of unpaired groups: the examples at `positions`, beginning again at the end of each."""
    return {joined("id", group): positions % len(part) for group, part in _groups(source).items()}


def first_batch(source: Source, size: int) -> dict[str, np.ndarray]:
    """The first `size` examples as a batch, with ids and without random crops, to show shapes to a model."""
    sample = in_order(source, np.arange(size, dtype=np.int64))
    return {**examples(source, sample), **_as_int32(sample)}


def _as_int32(sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: (x & 0x7FFFFFFF).astype(np.int32) for name, x in sample.items()}


@dataclasses.dataclass(frozen=True)
class _Feed:
    """What both feeds share.

    source: one split.
    batch_size: of the global batch.
    resident: give ids only, the arrays are on the device.
    process_index, process_count: this process gets its own contiguous rows of every global batch.
    """

    source: Source
    batch_size: int
    _: dataclasses.KW_ONLY
    resident: bool = False
    process_index: int = 0
    process_count: int = 1

    def __post_init__(self):
        if self.batch_size < 1 or self.batch_size % self.process_count:
            raise DataError(f"batch_size {self.batch_size} is not a multiple of {self.process_count} processes")

    def _rows(self) -> slice:
        rows = self.batch_size // self.process_count
        return slice(self.process_index * rows, (self.process_index + 1) * rows)

    def _read(self, start: int, stop: int) -> Iterator[dict[str, np.ndarray]]:
        if self.resident:  # a few ids: handing them from thread to thread would cost more than making them
            return (self[step] for step in range(start, stop))
        import grain  # half a second, so only where it is used

        # More threads than that wait for one another: 16 on two cores decode a third fewer images than 4.
        threads = min(16, 2 * (os.cpu_count() or 4))
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
        return iter(grain.MapDataset.range(start, stop).map(self.__getitem__).to_iter_dataset(options))

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Feed(_Feed):
    """The endless training stream: `feed[step]` is a batch, `feed.start(step)` reads ahead from there.

    A batch has `id` and `use` [B] int32, which no two rows share (and `id/GROUP`, `use/GROUP` of unpaired groups), and,
    unless resident, the fields of the source. B is the batch size over the number of processes.

    sampler: its specification, see data/samplers.py.
    """

    seed: int = 0
    sampler: str = "shuffled"

    def __post_init__(self):
        super().__post_init__()
        only = self._sampler.batch_size
        if only not in (None, self.batch_size):
            raise DataError(f"sampler {self.sampler!r} makes batches of {only}, not of {self.batch_size}")

    @functools.cached_property
    def _sampler(self) -> Sampler:
        return make_sampler(self.sampler, self.source)

    def __getitem__(self, step):
        drawn = self._sampler.draw(self.seed, step, self.batch_size)
        sample = {name: x[self._rows()] for name, x in drawn.items()}
        arrays = {} if self.resident else examples(self.source, sample, self.seed)
        return {**arrays, **_as_int32(sample)}

    def start(self, step: int = 0) -> Iterator[dict[str, np.ndarray]]:
        """Batches of steps step, step + 1, …; close() it to stop the reading threads."""
        return self._read(step, 2**62)


@dataclasses.dataclass(frozen=True)
class EvaluationFeed(_Feed):
    """Every example exactly once, in order. `mask` [B] bool is False on the padding of the last batch.

    Of unpaired groups, `mask/GROUP` is that of each by itself: the longest group decides how many batches there are,
    and a shorter one is padding from its end on. Padding repeats examples, which compute as well as any other.
    """

    def __len__(self):
        return -(-max(map(len, _groups(self.source).values())) // self.batch_size)

    def __getitem__(self, step):
        positions = step * self.batch_size + np.arange(self.batch_size, dtype=np.int64)[self._rows()]
        sample = in_order(self.source, positions)
        arrays = {} if self.resident else examples(self.source, sample)
        masks = {joined("mask", group): positions < len(part) for group, part in _groups(self.source).items()}
        return {**arrays, **_as_int32(sample), **masks}

    def __iter__(self):
        return self._read(0, len(self))
