"""Keras's HDF5 files, by h5py, which is an extra: fovea[keras]."""

import pathlib

import numpy as np

PACKED = 1032  # times that deflate makes bytes smaller at most
MAGIC = b"\x89HDF\r\n\x1a\n"


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """name -> array of a .h5 of Keras 2: "block1_conv1/kernel".

    Keras 2 writes block1_conv1/block1_conv1/kernel:0 (below model_weights in a whole model): the repeated name and ":0"
    are left out. The optimizer's arrays are, too. Raises ValueError without h5py, for arrays that
    lie in other files or are larger than their bytes can make them, and for two arrays of one name.
    """
    try:
        import h5py
    except ImportError:
        raise ValueError("a Keras file needs h5py: pip install 'fovea[keras]'") from None
    found = {}

    def visit(name: str, item) -> None:
        if not isinstance(item, h5py.Dataset) or name.startswith("optimizer"):
            return
        if item.external or item.is_virtual:
            raise ValueError(f"{name} lies in another file")
        if item.shape is None or item.nbytes > PACKED * item.id.get_storage_size():
            raise ValueError(f"the numbers of {name} are not all there")
        if plain_name(name) in found:
            raise ValueError(f"it has two arrays of the name {plain_name(name)}")
        found[plain_name(name)] = np.asarray(item)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def plain_name(name: str) -> str:
    """ "model_weights/block1_conv1/block1_conv1/kernel:0" -> "block1_conv1/kernel"."""
    parts = name.removeprefix("model_weights/").removesuffix(":0").split("/")
    return "/".join(part for i, part in enumerate(parts) if part not in parts[:i])
