"""Numbers by which a run recognises its examples at a later start: [N] uint64, one for each example of a split."""

import hashlib
import os
import pathlib
import zlib
from collections.abc import Iterable, Sequence

import numpy as np


def of_files(files: Iterable[pathlib.Path], root: pathlib.Path) -> np.ndarray:
    """Of examples that are files: digests of their paths relative to `root`, so that the folder itself may move."""
    prefix = f"{root.as_posix()}/"
    return _numbers(os.fsencode(file.as_posix().removeprefix(prefix)) for file in files)


def of_rows(array: np.ndarray) -> np.ndarray:
    """Of examples that are rows of an array [N, ...]: digests of their bytes."""
    rows = np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)
    return _numbers(rows)


def of_places(slices: Sequence[tuple[str, int, int]]) -> np.ndarray:
    """Of a fixed set: the places of its examples in their splits; `slices` as in data/splits.py."""
    split = lambda name: zlib.crc32(name.encode()) << 32
    return np.concatenate([split(name) + np.arange(start, stop, dtype=np.uint64) for name, start, stop in slices])


def _numbers(contents: Iterable) -> np.ndarray:
    digests = b"".join(hashlib.blake2b(content, digest_size=8).digest() for content in contents)
    return np.frombuffer(digests, "<u8")
