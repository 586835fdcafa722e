"""How batches are made: a batch is a function of (seed, step), so the position in the data is the step.

Training reads a continuous stream over one permutation per epoch. With `resident` the feed carries only ids
and the images are gathered on the device; without, Grain's threads fetch and decode ahead. Both use the same
indices, so both give the same batches.
"""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from data.errors import DataError
from data.source import Source


def indices(seed: int, step: int, batch_size: int, num_examples: int) -> np.ndarray:
    """Ids [batch_size] int64 of the batch at `step`, any batch size: every example is used equally often."""
    epochs, places = _positions(step, batch_size, num_examples)
    ids = np.empty(batch_size, np.int64)
    for epoch in range(epochs[0], epochs[-1] + 1):
        ids[epochs == epoch] = _permutation(seed, epoch, num_examples)[places[epochs == epoch]]
    return ids


def _positions(step: int, batch_size: int, num_examples: int) -> tuple[np.ndarray, np.ndarray]:
    """(epoch, place within the epoch) of each row of the batch at `step`."""
    return np.divmod(step * batch_size + np.arange(batch_size, dtype=np.int64), num_examples)


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(num_examples)


def resident_arrays(source: Source, limit: int = 2**30) -> dict[str, np.ndarray] | None:
    """The whole source as arrays for the device if its images take at most `limit` bytes; None: stream it."""
    if len(source) * np.prod(source.info.shape, dtype=np.int64) > limit:
        return None
    arrays = source.resident()
    if arrays is not None:
        check_labels(arrays, np.arange(len(source)), source)
    return arrays


def check_labels(examples: dict[str, np.ndarray], ids: np.ndarray, source: Source) -> None:
    """Raises DataError naming the first of the examples `ids` whose label is no class; -1 is none by intention."""
    labels, count = examples.get("label"), len(source.info.classes)
    if labels is None or labels.ndim != 1 or not count:
        return
    wrong = np.flatnonzero((labels < -1) | (labels >= count))
    if len(wrong):
        raise DataError(f"example {ids[wrong[0]]} has the label {labels[wrong[0]]}, but there are {count} classes")


@dataclasses.dataclass(frozen=True)
class _Feed:
    """What both feeds share.

    source: one split.
    batch_size: of the global batch.
    resident: give ids only, the arrays lie on the device.
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
            raise DataError(f"batch_size {self.batch_size} is no multiple of {self.process_count} processes")

    def _rows(self) -> slice:
        rows = self.batch_size // self.process_count
        return slice(self.process_index * rows, (self.process_index + 1) * rows)

    def _batch(self, ids: np.ndarray, keys: np.ndarray | None = None) -> dict[str, np.ndarray]:
        examples = {} if self.resident else self.source.fetch(ids, keys)
        check_labels(examples, ids, self.source)
        return {**examples, "id": ids.astype(np.int32)}

    def _read(self, start: int, stop: int) -> Iterator[dict[str, np.ndarray]]:
        if self.resident:  # a few ids: handing them from thread to thread would cost more than making them
            return (self[step] for step in range(start, stop))
        import grain  # half a second, so only where it is used

        options = grain.ReadOptions(num_threads=8, prefetch_buffer_size=16)
        return iter(grain.MapDataset.range(start, stop).map(self.__getitem__).to_iter_dataset(options))

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Feed(_Feed):
    """The endless training stream: `feed[step]` is a batch, `feed.start(step)` reads ahead from there.

    A batch has `id` [B] int32 and, unless resident, what the source gives: image [B, H, W, C] uint8, label
    [B] int32. B is the batch size over the number of processes.
    """

    seed: int = 0

    def __getitem__(self, step):
        rows = self._rows()
        ids = indices(self.seed, step, self.batch_size, len(self.source))[rows]
        epochs, _ = _positions(step, self.batch_size, len(self.source))
        return self._batch(ids, np.stack([np.full_like(ids, self.seed), epochs[rows]], axis=1))

    def start(self, step: int = 0) -> Iterator[dict[str, np.ndarray]]:
        """Batches of steps step, step + 1, …; close() it to stop the reading threads."""
        return self._read(step, 2**62)


@dataclasses.dataclass(frozen=True)
class EvaluationFeed(_Feed):
    """Every example exactly once, in order. `mask` [B] bool is False on the padding of the last batch."""

    def __len__(self):
        return -(-len(self.source) // self.batch_size)

    def __getitem__(self, step):
        positions = step * self.batch_size + np.arange(self.batch_size, dtype=np.int64)[self._rows()]
        # Padding repeats the last example, so that it is as harmless to compute as any other.
        ids = np.minimum(positions, len(self.source) - 1)
        return {**self._batch(ids), "mask": positions < len(self.source)}

    def __iter__(self):
        return self._read(0, len(self))
