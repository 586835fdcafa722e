"""Picture files that are decoded once: the examples of a split as the records of one memory-mapped .npy file.

The file is FOLDER/SET-DIGEST.npy: SET names what was opened (data set, split, options), DIGEST what the examples were
made from: the files with their sizes and times, the preparation, Pillow, and the code of this room. A file with another
digest is stale and makes room for the new one. A file gets its name once it is complete, so that a killed process
leaves no file that could be read.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import PIL

from data.errors import DataError
from data.source import Source, in_threads

CHUNK = 256  # examples that are decoded before they are written


def decoded(source: Source, folder: pathlib.Path, opened: object, say: Callable[[str], None]) -> "Decoded":
    """`source` with its examples read from a file in `folder`, which is written first where it is not up to date.

    Args:
      opened: what names the split: the data set, the split and the options; compared by its `repr`.
      say: takes one line where the file is written, and why.

    Raises DataError for a source whose examples are not the same at each use, or are not decoded from files; and where
    the file cannot be written.
    """
    groups = {name: decoded(part, folder, (opened, name), say) for name, part in source.groups.items()}
    code = [file.read_bytes() for file in sorted(pathlib.Path(__file__).parent.glob("*.py"))]
    try:
        name, digest = _digest(opened), _digest(source.made_from(), PIL.__version__, code)
        first = source.fetch(np.arange(1))
        kind = np.dtype([(key, array.dtype, array.shape[1:]) for key, array in first.items()])
        path, partial = folder / f"{name}-{digest}.npy", folder / f"{name}.partial"
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{name}.lock"):  # another process may be writing the same file
            records = _read(path, kind, len(source))
            if records is None:
                stale = [file for file in folder.glob(f"{name}-*.npy") if file != path]
                size = f"{len(source):,} examples, {len(source) * kind.itemsize / 1e6:,.1f} MB"
                say(f"data.cache: {_why(path, partial, stale)}: decoding {size}, into {path}")
                _write(source, partial, kind)
                partial.replace(path)
                for file in stale:
                    file.unlink()
                records = _read(path, kind, len(source))
    except OSError as error:
        raise DataError(f"data.cache: {error.filename or folder}: {error.strerror}") from error
    return Decoded(source, records, groups)


def _why(path: pathlib.Path, partial: pathlib.Path, stale: list[pathlib.Path]) -> str:
    """Why the file is written."""
    if path.exists():
        return "the file is damaged"
    if partial.exists():
        return "an earlier start was cut short"
    return "the pictures or how they are read have changed" if stale else "the first use"


class Decoded(Source):
    """A source whose examples are read from `records` [N], which has their fields, instead of being decoded."""

    def __init__(self, source: Source, records: np.ndarray, groups: dict[str, Source]):
        self.source, self.records, self.groups = source, records, groups
        self.info, self.description = source.info, source.description

    def __len__(self):
        return len(self.source)

    def fetch(self, ids, keys=None):
        return {name: self.records[name][ids] for name in self.records.dtype.names}

    def truth(self, ids):
        return self.source.truth(ids)

    def members(self, root):
        return self.source.members(root)

    def labels(self):
        return self.source.labels()


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(path: pathlib.Path, kind: np.dtype, count: int) -> np.ndarray | None:
    """The records in the file; None where there is none of this kind and number."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return np.asarray(found) if found.dtype == kind and found.shape == (count,) else None


def _write(source: Source, path: pathlib.Path, kind: np.dtype) -> None:
    """Writes the records of all examples, chunk by chunk; removes the file where the disk is full."""
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (len(source),)}
    try:
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, len(source), CHUNK):
                ids = np.arange(start, min(start + CHUNK, len(source)))
                records = np.empty(len(ids), kind)
                for record, one in zip(records, in_threads(lambda i: source.fetch(np.array([i])), ids), strict=True):
                    for name in kind.names:
                        record[name] = one[name][0]
                file.write(records.view(np.uint8))
            file.flush()
            os.fsync(file.fileno())  # before it gets its name, which a loss of power must not leave without content
    except OSError:
        path.unlink(missing_ok=True)
        raise
