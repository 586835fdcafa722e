"""A set in one NumPy archive: arrays image, label, or x_train, y_train, x_test, y_test (x_validation, …).

Without label or y_NAME, and with fewer than two classes, the data have no labels: the batch holds the image alone.
"""

import pathlib
import zipfile
import zlib

import numpy as np

from data.errors import DataError
from data.fields import Field
from data.files import describe
from data.source import ArraySource, Info, labelled_images, normalisation, slice_arrays
from data.splits import by_meaning


def npz(
    argument: str,
    split: str,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    stats_images: int = 10_000,
    split_seed: int = 0,
) -> ArraySource:
    """image, label are the split `train`, to be sliced; x_NAME, y_NAME are the split that NAME means (data/splits.py).

    Images are uint8 [N, H, W] or [N, H, W, C], labels integers or strings [N]. `split_seed` shuffles each split
    once, so that its slices hold all classes: example i is row `default_rng(split_seed).permutation(N)[i]`.

    mean, std: over pixels in [0, 1]; where empty, measured on `stats_images` images of the first split.
    """
    path = pathlib.Path(argument).expanduser()
    if not path.is_file():
        raise DataError(f"no file {argument!r}: write 'npz:path/to/set.npz'")
    by_split, unread = _read(path)
    sizes = {name: len(arrays["image"]) for name, arrays in by_split.items()}
    classes = _number_classes(by_split)
    for name, arrays in by_split.items():
        order = np.random.default_rng(split_seed).permutation(sizes[name])
        by_split[name] = {key: array[order] for key, array in arrays.items()}
    first = next(iter(by_split.values()))["image"]
    mean, std = normalisation(mean, std, lambda: first[:stats_images], first.shape[-1])
    info = (
        labelled_images(classes, first.shape[1:], mean, std)
        if classes
        else Info({"image": Field("image", first.shape[1:], "uint8")}, mean, std)
    )
    source = ArraySource(slice_arrays(by_split, split), info)
    source.description = describe(f"npz:{argument}", sizes, classes, {f"array {name}": 1 for name in unread})
    return source


def _number_classes(by_split: dict[str, dict[str, np.ndarray]]) -> tuple[str, ...]:
    """The names of the classes, after whose places the labels are numbered; −1 stays −1: ignored.

    With fewer than two classes the data have no labels, which are then removed.
    """
    unlabelled = lambda x: (x < 0) if x.dtype.kind == "i" else np.zeros(len(x), bool)
    labels = [arrays["label"] for arrays in by_split.values() if "label" in arrays]
    every = np.concatenate(labels) if labels else np.zeros(0, np.int32)
    classes = np.unique(every[~unlabelled(every)])
    for arrays in by_split.values():
        if len(classes) < 2:
            arrays.pop("label", None)
            continue
        numbers = np.searchsorted(classes, arrays["label"]).astype(np.int32)
        numbers[unlabelled(arrays["label"])] = -1
        arrays["label"] = numbers
    return tuple(map(str, classes)) if len(classes) > 1 else ()


def read_arrays(path: pathlib.Path, names: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """The arrays of an .npz, or `names` alone, and never a pickle. Raises ValueError if they cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names or archive.files}
    # What NumPy raises on a file of another kind, a truncated file and a missing name.
    except (OSError, AttributeError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(str(error)) from error


def _read(path: pathlib.Path) -> tuple[dict[str, dict[str, np.ndarray]], list[str]]:
    """(split -> image [N, H, W, C] uint8 and, where there is one, label [N] of any type; the arrays not read)."""
    try:
        arrays = read_arrays(path)
    except ValueError as error:
        raise DataError(f"cannot read {path} as .npz without pickled objects: {error}") from error
    splits = by_meaning([x[2:] for x in arrays if x.startswith("x_")], path)
    names = {split: (f"x_{name}", f"y_{name}") for split, name in splits.items()} or {"train": ("image", "label")}
    if splits and {"image", "label"} <= arrays.keys():
        raise DataError(f"{path} has image and label, and x_{next(iter(splits.values()))} too: which are the examples?")
    read = {name for pair in names.values() for name in pair if name in arrays}
    unread = [name for name in arrays if name not in read]
    labelled = any(y in arrays for _, y in names.values()) or any(name.startswith("y_") for name in unread)
    by_split = {}
    for split, (x, y) in names.items():
        if x not in arrays or (labelled and y not in arrays):
            raise DataError(f"{path} needs image, label or x_train, y_train; it has {', '.join(arrays)}")
        image = arrays[x]
        if image.dtype != np.uint8 or image.ndim not in (3, 4):
            raise DataError(f"{path}: {x} must be uint8 [N, H, W] or [N, H, W, C], found {image.dtype} {image.shape}")
        by_split[split] = {"image": image if image.ndim == 4 else image[..., None]}
        if not len(image):
            raise DataError(f"{path}: {x} has no image")
        if not labelled:
            continue
        label = arrays[y]
        if label.shape == (len(label), 1):  # as Keras gives CIFAR
            label = label[:, 0]
        if label.dtype.kind not in "iuU" or label.shape != image.shape[:1]:
            raise DataError(
                f"{path}: {y} must be integers or strings [{len(image)}], found {label.dtype} {label.shape}"
            )
        by_split[split]["label"] = label
    if len({arrays["image"].shape[1:] for arrays in by_split.values()}) > 1:
        raise DataError(f"{path}: the splits differ in the shape of their images")
    return by_split, unread
