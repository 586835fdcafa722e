"""The .safetensors format: the length of a JSON header in 8 bytes, the header, the bytes of all tensors."""

import json
import math
import pathlib
from collections.abc import Mapping

import ml_dtypes
import numpy as np

TYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
NAMES = {np.dtype(kind): name for name, kind in TYPES.items()}


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """name -> tensor. Raises ValueError for a file that is not one, or is truncated."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length])
        header.pop("__metadata__", None)
        entries = {name: (x["dtype"], tuple(x["shape"]), *x["data_offsets"]) for name, x in header.items()}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ValueError("its header is not that of .safetensors, or the file is truncated") from error
    data, found = memoryview(content)[8 + length :], {}
    for name, (kind, shape, start, stop) in entries.items():
        if kind not in TYPES:
            raise ValueError(f"{name} is of the type {kind}, which is not read")
        dtype = np.dtype(TYPES[kind])
        if stop - start != math.prod(shape) * dtype.itemsize or not 0 <= start <= stop <= len(data):
            raise ValueError(f"it is truncated: the bytes of {name} are not all there")
        found[name] = np.frombuffer(data[start:stop], dtype).reshape(shape)
    return found


def write(tensors: Mapping[str, np.ndarray], path: pathlib.Path) -> None:
    """Writes tensors in the order of their names. Raises KeyError for a type that the format lacks."""
    header, place, arrays = {}, 0, []
    for name in sorted(tensors):
        array = np.asarray(tensors[name], order="C")
        header[name] = {
            "dtype": NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [place, place + array.nbytes],
        }
        place += array.nbytes
        arrays.append(array)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of eight
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays:
            file.write(array.tobytes())
