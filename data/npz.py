"""A set in one NumPy archive: arrays image, label, or x_train, y_train, x_test, y_test (x_validation, …)."""

import pathlib
import zipfile
import zlib

import numpy as np

from data.errors import DataError
from data.files import describe
from data.source import ArraySource, labelled_images, normalisation, slice_arrays
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
    labels = np.concatenate([arrays["label"] for arrays in by_split.values()])
    unlabelled = lambda x: (x < 0) if x.dtype.kind == "i" else np.zeros(len(x), bool)  # −1: ignored
    classes = np.unique(labels[~unlabelled(labels)])
    if len(classes) < 2:
        found = f"the one class {str(classes[0])!r}" if len(classes) else "no labelled image"
        raise DataError(f"{path} has {found}: classification needs two classes")
    for name, arrays in by_split.items():
        order = np.random.default_rng(split_seed).permutation(len(arrays["label"]))
        numbers = np.searchsorted(classes, arrays["label"]).astype(np.int32)
        numbers[unlabelled(arrays["label"])] = -1
        by_split[name] = {"image": arrays["image"][order], "label": numbers[order]}

    first = next(iter(by_split.values()))["image"]
    mean, std = normalisation(mean, std, lambda: first[:stats_images], first.shape[-1])
    info = labelled_images(tuple(str(c) for c in classes), first.shape[1:], mean, std)
    source = ArraySource(slice_arrays(by_split, split), info)
    sizes = {name: len(arrays["label"]) for name, arrays in by_split.items()}
    source.description = describe(f"npz:{argument}", sizes, info.classes, {f"array {name}": 1 for name in unread})
    return source


def read_arrays(path: pathlib.Path, names: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """The arrays of an .npz, or `names` alone, and never a pickle. Raises ValueError if they cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names or archive.files}
    # What NumPy raises on a file of another kind, a truncated file and a missing name.
    except (OSError, AttributeError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(str(error)) from error


def _read(path: pathlib.Path) -> tuple[dict[str, dict[str, np.ndarray]], list[str]]:
    """(split -> image [N, H, W, C] uint8 and label [N] of any type, the arrays that are not read)."""
    try:
        arrays = read_arrays(path)
    except ValueError as error:
        raise DataError(f"cannot read {path} as .npz without pickled objects: {error}") from error
    splits = by_meaning([x[2:] for x in arrays if x.startswith("x_")], path)
    names = {split: (f"x_{name}", f"y_{name}") for split, name in splits.items()} or {"train": ("image", "label")}
    if splits and {"image", "label"} <= arrays.keys():
        raise DataError(f"{path} has image and label, and x_{next(iter(splits.values()))} too: which are the examples?")
    by_split = {}
    for split, (x, y) in names.items():
        if x not in arrays or y not in arrays:
            raise DataError(f"{path} needs image, label or x_train, y_train; it has {', '.join(arrays)}")
        image, label = arrays[x], arrays[y]
        if image.dtype != np.uint8 or image.ndim not in (3, 4):
            raise DataError(f"{path}: {x} must be uint8 [N, H, W] or [N, H, W, C], found {image.dtype} {image.shape}")
        if label.shape == (len(label), 1):  # as Keras gives CIFAR
            label = label[:, 0]
        if label.dtype.kind not in "iuU" or label.shape != image.shape[:1] or not len(label):
            raise DataError(
                f"{path}: {y} must be integers or strings [{len(image)}], found {label.dtype} {label.shape}"
            )
        by_split[split] = {"image": image if image.ndim == 4 else image[..., None], "label": label}
    if len({arrays["image"].shape[1:] for arrays in by_split.values()}) > 1:
        raise DataError(f"{path}: the splits differ in the shape of their images")
    read = {name for pair in names.values() for name in pair}
    return by_split, [name for name in arrays if name not in read]
