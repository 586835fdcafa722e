"""Real digits that need no download: scikit-learn's copy of the UCI test set of Alpaydin and Kaynak (1998).

1,797 handwritten digits of 8x8 pixels with 17 grey levels, embedded in the scikit-learn package.
"""

import importlib.util
import pathlib

import numpy as np

from data.errors import DataError
from data.source import ArraySource, labelled_images, slice_arrays, statistics


def digits(argument: str, split: str, size: int = 8, split_seed: int = 0) -> ArraySource:
    """Splits: `train` (80 %) and `test` (20 % of each class), drawn by `split_seed`.

    size: side of the images; 8 is native, anything else (32) is bilinear interpolation of it.
    """
    if argument:
        raise DataError(f"data set 'digits' takes no argument, found {argument!r}")
    if size < 1:
        raise DataError(f"data.size of 'digits' must be positive, found {size}")
    images, labels = _load()
    images = np.round(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    # The file is ordered by writer, so the whole set is shuffled once: slices of a split are alike.
    order = np.random.default_rng(split_seed).permutation(len(labels))
    images, labels = images[order], labels[order].astype(np.int32)
    if size != 8:
        images = np.stack([_enlarge(image, size) for image in images])

    rank = np.empty(len(labels), int)  # of an example within its class
    for c in range(10):
        rank[labels == c] = np.arange((labels == c).sum())
    test = rank < np.round(0.2 * np.bincount(labels))[labels]
    by_split = {
        name: {"image": images[chosen][..., None], "label": labels[chosen]}
        for name, chosen in (("train", ~test), ("test", test))
    }
    mean, std = statistics(by_split["train"]["image"])
    info = labelled_images(tuple("0123456789"), (size, size, 1), mean, std)
    return ArraySource(slice_arrays(by_split, split), info)


def _load() -> tuple[np.ndarray, np.ndarray]:
    """`sklearn.datasets.load_digits(return_X_y=True)`, without the second that importing scikit-learn takes."""
    (package,) = importlib.util.find_spec("sklearn").submodule_search_locations
    table = np.loadtxt(pathlib.Path(package) / "datasets" / "data" / "digits.csv.gz", np.uint8, delimiter=",")
    return table[:, :-1], table[:, -1]


def _enlarge(image: np.ndarray, size: int) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
