"""MNIST with every pixel 0 or 1, drawn once: the set on which likelihoods are compared.

Salakhutdinov and Murray, "On the Quantitative Analysis of Deep Belief Networks", ICML 2008; the split is Larochelle's.
"""

import pathlib

import numpy as np

from data.errors import DataError
from data.npz import read_arrays
from data.source import ArraySource, labelled_images, normalisation, slice_arrays

SPLITS = ("train", "valid", "test")


def binarized_mnist(argument: str, split: str) -> ArraySource:
    """Splits: `train`, `valid`, `test`, of images [28, 28, 1] uint8 in {0, 255}, all labelled alike.

    argument: an .npz archive of these three arrays, 8 pixels a byte, [N, 98] uint8 (`np.packbits` of [N, 784]).
    """
    path = pathlib.Path(argument).expanduser()
    if not path.is_file():
        raise DataError(f"no file {argument!r}: write 'binarized_mnist:path/to/binarized_mnist_packed.npz'")
    try:
        packed = read_arrays(path, SPLITS)
    except ValueError as error:
        raise DataError(f"cannot read {', '.join(SPLITS)} in {path}: {error}") from error
    by_split = {}
    for name, bits in packed.items():
        if bits.dtype != np.uint8 or bits.shape[1:] != (98,):
            raise DataError(f"{path}: {name} must be uint8 [N, 98], found {bits.dtype} {bits.shape}")
        images = 255 * np.unpackbits(bits, axis=1).reshape(-1, 28, 28, 1)
        by_split[name] = {"image": images, "label": np.zeros(len(images), np.int32)}
    mean, std = normalisation((), (), lambda: by_split["train"]["image"][:10_000], 1)
    return ArraySource(slice_arrays(by_split, split), labelled_images(("digit",), (28, 28, 1), mean, std))
