"""What an example is: random access by batches of ids."""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from data import splits
from data.errors import DataError


@dataclasses.dataclass(frozen=True)
class Info:
    """What the model and the augmentation must know of a data set; the same for all its splits.

    classes: names of the classes, label i is `classes[i]`.
    shape: (H, W, C) of every image.
    mean, std: one number a channel, over pixels in [0, 1] of the training split.
    """

    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Source:
    """One split of a data set. Subclasses set `info` and give `__len__` and a thread-safe `fetch`."""

    info: Info

    def __len__(self) -> int:
        raise NotImplementedError

    def fetch(self, ids: np.ndarray, keys: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Examples `ids` ([B] int64): image [B, H, W, C] uint8, label [B] int32.

        keys: [B, 2] int64, (seed, epoch) of this use of each example: the random-resized crop is drawn from
            (seed, epoch, id) alone, so it depends neither on the batch size nor on workers. Without keys the
            crop is central. Sources that crop nothing ignore them.
        """
        raise NotImplementedError

    def resident(self) -> dict[str, np.ndarray] | None:
        """All examples as whole arrays, in the order of the ids; None where a fetch is random."""
        return self.read_all()

    def read_all(self) -> dict[str, np.ndarray]:
        """All examples, fetched by threads, without keys."""
        chunks = np.array_split(np.arange(len(self)), -(-len(self) // 256))
        parts = in_threads(self.fetch, chunks)
        return {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}


class ArraySource(Source):
    """Examples that lie in memory: a dict of arrays whose leading axis is the example."""

    def __init__(self, arrays: dict[str, np.ndarray], info: Info):
        self.arrays, self.info = arrays, info

    def __len__(self):
        return len(self.arrays["image"])

    def fetch(self, ids, keys=None):
        return {k: v[ids] for k, v in self.arrays.items()}

    def resident(self):
        return self.arrays


def in_threads(function: Callable, items: Iterable) -> list:
    """`function` of each of `items`, in their order."""
    with concurrent.futures.ThreadPoolExecutor() as pool:  # PIL decodes outside the interpreter's lock
        return list(pool.map(function, items))


def slice_arrays(by_split: dict[str, dict[str, np.ndarray]], spec: str) -> dict[str, np.ndarray]:
    """The examples that `spec` selects of splits held in memory."""
    parts = splits.resolve(spec, {name: len(arrays["image"]) for name, arrays in by_split.items()})
    keys = by_split[parts[0][0]]
    return {k: np.concatenate([by_split[name][k][start:stop] for name, start, stop in parts]) for k in keys}


def statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of images [N, H, W, C] uint8, over pixels in [0, 1]."""
    # Counting the 256 values is exact and needs no float copy of the images.
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])])
    share, values = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
    mean = share @ values
    std = np.sqrt(np.maximum(share @ values**2 - mean**2, 0.0))
    return tuple(float(m) for m in mean), tuple(float(max(s, 1e-6)) for s in std)


def normalisation(mean, std, images, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The page's `mean` and `std` where given, else those of `images()` ([N, H, W, C] uint8)."""
    for name, given in (("mean", mean), ("std", std)):
        if len(given) not in (0, channels):
            raise DataError(f"data.{name} has {len(given)} numbers, the images have {channels} channels")
    if mean and std:
        return tuple(mean), tuple(std)
    found = statistics(images())
    return tuple(mean) or found[0], tuple(std) or found[1]
