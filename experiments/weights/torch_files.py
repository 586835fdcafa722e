"""PyTorch's files of weights, read without torch and without running what is in them, and written.

A file of torch is a pickle, which is a program: loading one may call any function. Here the program may name nothing
but the types of storages, the functions that rebuild a tensor, and OrderedDict; anything else is refused before it is
imported. What it rebuilds are notes of a storage, an offset, a size and strides, which are checked against the bytes.

The zip format (since torch 1.6) has the pickle in NAME/data.pkl and each storage in NAME/data/KEY; the legacy format
has four pickles (a magic number, a version, the system, the object), the list of keys, and the storages.
"""

import dataclasses
import io
import math
import mmap
import pathlib
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, BinaryIO, ClassVar

import ml_dtypes
import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C  # of the legacy format
TYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
NAMES = {np.dtype(kind): name for name, kind in TYPES.items()}
# Under these keys a checkpoint of a training has the weights.
INSIDE = ("state_dict", "model_state_dict", "model", "params_ema", "params", "weights", "net")


@dataclasses.dataclass
class _Storage:
    dtype: np.dtype
    numel: int
    values: np.ndarray | None = None

    def check(self, size: int) -> None:
        if size != self.numel * self.dtype.itemsize:
            raise ValueError("it is truncated: the bytes of a tensor are not all there")

    def fill(self, content: bytes) -> None:
        self.check(len(content))
        self.values = np.frombuffer(content, self.dtype.newbyteorder("<")).astype(self.dtype)


@dataclasses.dataclass
class _Tensor:
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self) -> np.ndarray:
        """A copy of the tensor. Raises ValueError where it reaches beyond its storage."""
        whole = all(isinstance(x, int) and x >= 0 for x in (self.offset, *self.size, *self.stride))
        if not whole or len(self.size) != len(self.stride):
            raise ValueError("a tensor has a size or strides that are not numbers from 0 on")
        if 0 in self.size:
            return np.zeros(self.size, self.storage.dtype)
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if self.storage.values is None or last >= self.storage.numel:
            raise ValueError("a tensor reaches beyond its storage")
        if math.prod(self.size) > self.storage.numel:  # by strides of 0: of any size, of a few bytes
            raise ValueError("a tensor is larger than its storage")
        strides = tuple(step * self.storage.dtype.itemsize for step in self.stride)
        view = np.lib.stride_tricks.as_strided(self.storage.values[self.offset :], self.size, strides, writeable=False)
        return view.copy()


def _rebuild_tensor(storage, offset, size, stride, *_) -> _Tensor:
    """torch._utils._rebuild_tensor and _rebuild_tensor_v2; whether it learns and its hooks are left out."""
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor has no storage")
    return _Tensor(storage, offset, tuple(size), tuple(stride))


def _rebuild_parameter(tensor, *_) -> _Tensor:
    return tensor


REBUILT = {
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): tuple,
    ("collections", "OrderedDict"): OrderedDict,
}


class _Restricted(pickle._Unpickler):  # the one in Python, whose operations can be replaced
    """An unpickler that finds nothing but tensors."""

    def __init__(self, file: BinaryIO, storages: dict[str, _Storage]):
        super().__init__(file, encoding="utf-8")
        self.storages = storages

    def _leave_state(self) -> None:
        """BUILD sets attributes of any object: the state (of a state dict its versions) is dropped."""
        self.stack.pop()

    dispatch: ClassVar[dict] = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: _leave_state}
    del dispatch[pickle.BYTEARRAY8[0]]  # it takes as much memory as the file says, before there are bytes

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in TYPES:
            return name
        if (module, name) in REBUILT:
            return REBUILT[module, name]
        raise ValueError(f"its pickle names {module}.{name}, which is not a tensor; nothing of it was run")

    def persistent_load(self, pid: Any) -> _Storage:
        what, dtype, key, _, numel, *view = pid
        if what != "storage" or dtype not in TYPES or any(x is not None for x in view):
            raise ValueError("its pickle has a reference that is not a storage")
        storage = _Storage(np.dtype(TYPES[dtype]), int(numel))
        found = self.storages.setdefault(str(key), storage)
        if (found.dtype, found.numel) != (storage.dtype, storage.numel):
            raise ValueError("a storage has two types or two sizes")
        return found


def _unpickled(file: BinaryIO, storages: dict[str, _Storage]) -> Any:
    """One pickle. Raises ValueError for anything that is not a sound pickle of tensors."""
    try:
        return _Restricted(file, storages).load()
    except ValueError:
        raise
    except Exception as error:  # whatever broken or hostile bytes make of the stack machine
        raise ValueError(f"its pickle is broken or truncated ({type(error).__name__})") from error


def read_zip(path: pathlib.Path) -> dict[str, np.ndarray]:
    """name -> tensor of a file in the zip format."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(names) != 1:
            raise ValueError("it is a zip, but neither NumPy's nor torch's")
        folder, storages = names[0].removesuffix("data.pkl"), {}
        order = f"{folder}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("its numbers are in the byte order of another machine")
        found = _unpickled(io.BytesIO(archive.read(names[0])), storages)
        for key, storage in storages.items():
            try:
                info = archive.getinfo(f"{folder}data/{key}")
            except KeyError:
                raise ValueError("it is truncated: a storage is missing") from None
            storage.check(info.file_size)  # before it is unpacked
            storage.fill(archive.read(info))
    return _tensors(found)


def read_legacy(path: pathlib.Path) -> dict[str, np.ndarray]:
    """name -> tensor of a file in the format before torch 1.6."""
    storages: dict[str, _Storage] = {}
    # A map reads no more than the file has, whatever size its bytes declare.
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as file:
        if _unpickled(file, {}) != MAGIC:
            raise ValueError("it is a pickle, but not a file of torch")
        _version, _system = _unpickled(file, {}), _unpickled(file, {})
        found = _unpickled(file, storages)
        for key in _unpickled(file, {}):
            if key not in storages:
                raise ValueError("it lists a storage that no tensor has")
            (numel,) = struct.unpack("<q", _exactly(file, 8))
            storage = storages[key]
            if numel != storage.numel:
                raise ValueError("a storage has another length than its tensors say")
            storage.fill(_exactly(file, numel * storage.dtype.itemsize))
    return _tensors(found)


def _exactly(file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    if len(content) != count:
        raise ValueError("it is truncated: the bytes of a tensor are not all there")
    return content


def _tensors(found: Any) -> dict[str, np.ndarray]:
    """The tensors of a state dict, or of a checkpoint of a training that has one in it."""
    if not isinstance(found, Mapping):
        raise ValueError("it is not a dictionary of tensors")
    own = {name: x.array() for name, x in found.items() if isinstance(name, str) and isinstance(x, _Tensor)}
    if own:
        return own
    for key in INSIDE:
        if isinstance(found.get(key), Mapping):
            return _tensors(found[key])
    raise ValueError(f"it is a dictionary of {', '.join(map(str, list(found)[:10])) or 'nothing'}, without tensors")


def write_zip(tensors: Mapping[str, np.ndarray], path: pathlib.Path) -> None:
    """Writes a state dict that torch.load(weights_only=True) reads. Raises KeyError for a type that torch lacks."""
    code = bytearray(b"\x80\x02}(")  # protocol 2, an empty dictionary, and a mark for its items
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for key, (name, tensor) in enumerate(tensors.items()):
            array = np.asarray(tensor, order="C")
            strides = [math.prod(array.shape[i + 1 :]) for i in range(array.ndim)]
            code += _text(name)
            code += b"ctorch._utils\n_rebuild_tensor_v2\n("
            code += b"(" + _text("storage") + f"ctorch\n{NAMES[array.dtype]}\n".encode()
            code += _text(str(key)) + _text("cpu") + _number(array.size) + b"tQ"  # a tuple, and the storage it names
            code += _number(0) + _tuple(array.shape) + _tuple(strides)
            code += b"\x89ccollections\nOrderedDict\n)R"  # False: it does not learn; and no hooks
            code += b"tR"
            archive.writestr(f"archive/data/{key}", array.tobytes())
        code += b"u."
        archive.writestr("archive/data.pkl", bytes(code))
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")


def _text(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def _tuple(values) -> bytes:
    return b"(" + b"".join(map(_number, values)) + b"t"
