"""Tensors by name of a file of weights, whatever wrote it. Nothing in a file is ever executed."""

import pathlib
import zipfile

import numpy as np

from data.npz import read_arrays
from experiments.errors import PageError
from experiments.weights import hdf5, safetensors, torch_files

Tensors = dict[str, np.ndarray]


def read_weights(file: str | pathlib.Path) -> Tensors:
    """name -> tensor of a .safetensors, .npz, PyTorch (zip or legacy) or Keras HDF5 file, known by its content.

    Names are joined by ".": those of NumPy and Keras with "/" too. Raises PageError, which names the file, for a file
    that is absent, truncated, of another kind, or a pickle of anything but tensors.
    """
    path = pathlib.Path(file).expanduser()
    if not path.is_file():
        raise PageError(f"there is no file of weights {str(file)!r}")
    try:
        tensors = _reader(path)(path)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise PageError(f"cannot read the weights in {file}: {error}") from error
    tensors = {name.replace("/", "."): x for name, x in tensors.items()}
    if not tensors:
        raise PageError(f"cannot read the weights in {file}: it has no tensors")
    return tensors


def _reader(path: pathlib.Path):
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(hdf5.MAGIC):
        return hdf5.read
    if start.startswith(b"PK"):
        return _read_zip
    if start[8:9] == b"{":
        return safetensors.read
    if start.startswith(b"\x80"):
        return torch_files.read_legacy
    raise ValueError("it is not a .safetensors, .npz, PyTorch or HDF5 file")


def _read_zip(path: pathlib.Path) -> Tensors:
    """A zip is NumPy's, of .npy files, or torch's."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if all(name.endswith(".npy") for name in names):
        return read_arrays(path)
    return torch_files.read_zip(path)
