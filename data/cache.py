"""The user's cache, $XDG_CACHE_HOME/fovea or ~/.cache/fovea: results that are slow to recompute.

It may be deleted at any time. Where it cannot be written, nothing is kept.
"""

import contextlib
import hashlib
import os
import pathlib
import time
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

WORTH_KEEPING = 1.0  # seconds that making it took
LARGEST = 2**28  # bytes


def cache_folder(name: str) -> pathlib.Path | None:
    """A folder of the cache, made if need be; None where it cannot be written."""
    folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fovea" / name
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder if os.access(folder, os.W_OK) else None


def kept(identity: object, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays that `make()` gives, or gave when it was called for the same `identity` before.

    identity: everything that they depend on, compared by its `repr`.
    """
    folder = cache_folder("arrays")
    if folder is None:
        return make()
    path = folder / f"{hashlib.sha256(repr(identity).encode()).hexdigest()[:32]}.npz"
    # A zip verifies the bytes that are read. A damaged file is computed and written again.
    with contextlib.suppress(OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error), np.load(path) as archive:
        return dict(archive)
    began = time.perf_counter()
    arrays = make()
    if time.perf_counter() - began > WORTH_KEEPING and sum(array.nbytes for array in arrays.values()) <= LARGEST:
        partial = path.with_name(f"{path.stem}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                np.savez(file, **arrays)
            partial.rename(path)
        except OSError:  # a full disk, say
            with contextlib.suppress(OSError):
                partial.unlink()
    return arrays
