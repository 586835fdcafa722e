"""Keras's HDF5 files, by h5py, which is an extra: fovea[keras]."""

import pathlib

import numpy as np

MAGIC = b"\x89HDF\r\n\x1a\n"


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """name -> array of a .h5 of Keras 2 or a .weights.h5 of Keras 3: "block1_conv1/kernel".

    Keras 2 writes block1_conv1/block1_conv1/kernel:0 (below model_weights in a whole model): the repeated name and ":0"
    are left out. The optimizer's arrays are, too. Raises ValueError without h5py.
    """
    try:
        import h5py
    except ImportError:
        raise ValueError("a Keras file needs h5py: pip install 'fovea[keras]'") from None
    found = {}

    def visit(name: str, item) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer"):
            found[plain_name(name)] = np.asarray(item)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def plain_name(name: str) -> str:
    """ "model_weights/block1_conv1/block1_conv1/kernel:0" -> "block1_conv1/kernel"."""
    parts = name.removeprefix("model_weights/").removesuffix(":0").split("/")
    return "/".join(part for i, part in enumerate(parts) if part not in parts[:i])
