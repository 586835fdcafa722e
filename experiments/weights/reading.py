"""Tensors by name of a file of weights, whatever wrote it. Nothing in a file is ever executed."""

import math
import pathlib
import zipfile
from collections.abc import Callable

import numpy as np

from data.npz import read_arrays
from experiments.errors import PageError
from experiments.weights import hdf5, safetensors, torch_files

Tensors = dict[str, np.ndarray]
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_weights(file: str | pathlib.Path) -> Tensors:
    """name -> tensor of a .safetensors, .npz, PyTorch (zip or legacy) or Keras HDF5 file, known by its content.

    Names are joined by ".": those of NumPy and Keras with "/" too. Raises PageError, which names the file, for a file
    that is absent, truncated, broken, of another kind, or a pickle of anything but tensors, and for two tensors of one
    name.
    """
    path = pathlib.Path(file).expanduser()
    if not path.is_file():
        raise PageError(f"there is no file of weights {str(file)!r}")
    try:
        tensors = renamed(_reader(path)(path), lambda name: name.replace("/", "."))
    except Exception as error:  # whatever broken or hostile bytes make of a reader
        why = " ".join(str(error).split()) or type(error).__name__
        raise PageError(f"cannot read the weights in {file}: {why}") from error
    if not tensors:
        raise PageError(f"cannot read the weights in {file}: it has no tensors")
    return tensors


def renamed(tensors: Tensors, rename: Callable[[str], str]) -> Tensors:
    """The tensors by other names. Raises PageError where two of them get one name."""
    found, names = {}, {}
    for name, tensor in tensors.items():
        new = rename(name)
        if new in found:
            raise PageError(f"{names[new]} and {name} are both the tensor {new}")
        found[new], names[new] = tensor, name
    return found


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
        if numpys := all(name.endswith(".npy") for name in archive.namelist()):
            for info in archive.infolist():
                _check_size(archive, info)
    if numpys:
        return read_arrays(path)
    return torch_files.read_zip(path)


def _check_size(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Raises ValueError where an array is not as large as its header says: NumPy takes the memory before it reads."""
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"{info.filename} is of the version {version} of NumPy's format, which is not read")
        shape, _, dtype = HEADERS[version](file)
        size = info.file_size - file.tell()
    packed = info.file_size > hdf5.PACKED * info.compress_size
    if packed or (not dtype.hasobject and math.prod(shape) * dtype.itemsize != size):
        raise ValueError(f"it is truncated: the bytes of {info.filename} are not all there")
