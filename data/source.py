"""What an example is: random access by batches of ids."""

import concurrent.futures
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from data import geometry, members, splits
from data.errors import DataError, unknown
from data.fields import Field, by_group, check_fields, of_kind
from data.text import Vocabulary

CLASSES = ("label", "mask", "labels")  # kinds whose names are classes


@dataclasses.dataclass(frozen=True)
class Info:
    """What the model and the augmentation need to know of a data set; the same for all its splits.

    fields: by name, everything that a batch holds of an example.
    mean, std: one number a channel, over pixels in [0, 1] of the training split.
    classes_of: the field whose names are the classes; empty: the first that has names, a label before a mask before the
        labels of objects.
    """

    fields: Mapping[str, Field]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes_of: str = ""

    def __post_init__(self):
        check_fields(self.fields)
        named = [name for name, field in self.fields.items() if field.names and field.kind in CLASSES]
        if self.classes_of and self.classes_of not in named:
            raise unknown("field with classes", self.classes_of, named)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the example, or of its pixels, or of its objects; () without classes."""
        if self.classes_of:
            return self.fields[self.classes_of].names
        for kind in CLASSES:
            for field in of_kind(self.fields, kind).values():
                if field.names:
                    return field.names
        return ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of "image"."""
        return self.fields["image"].shape


def labelled_images(
    classes: tuple[str, ...],
    shape: tuple[int, int, int],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    dtype: str = "uint8",
) -> Info:
    """The common case: image [H, W, C] and label, which is a place in `classes` or -1."""
    fields = {"image": Field("image", tuple(shape), dtype), "label": Field("label", (), "int32", tuple(classes))}
    return Info(fields, mean, std)


class Source:
    """One split of a data set. Subclasses set `info` and give `__len__` and a thread-safe `fetch`.

    groups: of unpaired data, the sources of the other sets by name. Each gives the fields of its group, this source
        gives those of the group "", and `info` describes all of them.
    description: one line on what the data set has, in all its splits, and what was left out; "": nothing to say.
    """

    info: Info
    description: str = ""
    groups: Mapping[str, "Source"] = {}

    def __len__(self) -> int:
        raise NotImplementedError

    def fetch(self, ids: np.ndarray, keys: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Examples `ids` ([B] int64): the fields of `info`, [B, ...] each, padded to their shapes.

        keys: [B, 2] int64, (seed, use) of this use of each example: the random-resized crop is drawn from
            (seed, use, id) alone, so it depends neither on the batch size nor on threads. Without keys the
            crop is central. Sources that crop nothing ignore them.
        """
        raise NotImplementedError

    def resident(self) -> dict[str, np.ndarray] | None:
        """All examples as whole arrays, in the order of the ids; None where a fetch is random."""
        return self.read_all()

    def read_all(self) -> dict[str, np.ndarray]:
        """All examples, fetched by threads, without keys."""
        chunks = np.array_split(np.arange(len(self)), -(-len(self) // 256))
        parts = in_threads(self.fetch, chunks)
        return {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}

    def truth(self, ids: np.ndarray) -> list[dict[str, Any]]:
        """The ground truth of examples for evaluation on the host: unpadded, at the picture's own size.

        Each has `size` (height, width) and `matrix` [2, 3], which takes the picture's own pixels onto the canvas of
        `fetch(ids)`; and of the following what the data have: label, boxes [n, 4], labels [n], crowd [n] bool,
        difficult [n] bool, points [n, K, 3], masks [H, W], captions (a list of texts).
        """
        batch = self.fetch(np.asarray(ids))
        return [unpadded(self.info, {name: x[i] for name, x in batch.items()}) for i in range(len(ids))]

    def members(self, root: pathlib.Path) -> np.ndarray | None:
        """[N] uint64, numbers that examples keep when others are added (data/members.py); None: they have no identity.

        root: the folder of the data, to which the names of files are relative.
        """
        return None

    def made_from(self) -> object:
        """What decides the arrays of every example, for data/decoded.py: the `repr` of it changes with them.

        Raises DataError where two uses of an example may differ, and for examples that are not decoded from files.
        """
        raise DataError("data.cache keeps pictures that are decoded from files: these data have none")

    def labels(self) -> np.ndarray:
        """The class of every example, [N] int32, without decoding images. Raises DataError where there is none."""
        raise DataError("these data have no class per example: they have " + ", ".join(self.info.fields))


class ArraySource(Source):
    """Examples that lie in memory: a dict of arrays whose leading axis is the example."""

    def __init__(self, arrays: dict[str, np.ndarray], info: Info, groups: Mapping[str, Source] | None = None):
        self.arrays, self.info, self.groups = arrays, info, groups or {}

    def __len__(self):
        return len(next(iter(self.arrays.values())))

    def fetch(self, ids, keys=None):
        return {k: v[ids] for k, v in self.arrays.items()}

    def resident(self):
        return self.arrays

    def members(self, root):
        return members.of_rows(next(iter(self.arrays.values())))

    def labels(self):
        found = of_kind(self.info.fields, "label")
        return self.arrays[next(iter(found))].astype(np.int32) if found else super().labels()


def blank_source(info: Info) -> ArraySource:
    """One example of zeros with the fields of `info`, where nothing but shapes is needed."""
    sources = {}
    for group, fields in by_group(info.fields).items():
        arrays = {name: np.zeros((1, *field.shape), field.dtype) for name, field in fields.items()}
        sources[group] = ArraySource(arrays, dataclasses.replace(info, fields=fields))
    blank = sources.pop("")
    return ArraySource(blank.arrays, info, sources)


def unpadded(info: Info, example: dict[str, np.ndarray]) -> dict[str, Any]:
    """The truth of one example whose picture was used as it is; see Source.truth."""
    height, width = example["image"].shape[:2]
    truth = {"size": (height, width), "matrix": geometry.identity()}
    for name, field in info.fields.items():
        if field.group or name not in example:
            continue
        if field.kind == "label":
            truth[name] = int(example[name])
        elif field.kind == "mask":
            truth[name] = example[name]
        elif field.kind == "tokens" and field.names:
            truth["captions"] = [Vocabulary(field.names).decode(example[name])]
        elif field.kind in ("boxes", "labels", "points"):
            truth[name] = example[name][_present(info.fields, example, name)]
    return truth


def _present(fields: Mapping[str, Field], example: dict[str, np.ndarray], name: str) -> np.ndarray:
    """[N] bool: which rows of the field hold an object: one with a box, or else with a label or a visible point."""
    own = fields[name]
    boxes = name if own.kind == "boxes" else own.of
    if boxes in example and fields[boxes].kind == "boxes":
        x1, y1, x2, y2 = example[boxes].T
        return (x2 > x1) & (y2 > y1)
    return example[name] != own.outside if own.kind == "labels" else (example[name][..., 2] > 0).any(1)


def in_threads(function: Callable, items: Iterable) -> list:
    """`function` of each of `items`, in their order."""
    with concurrent.futures.ThreadPoolExecutor() as pool:  # PIL decodes outside the interpreter's lock
        return list(pool.map(function, items))


def slice_arrays(by_split: dict[str, dict[str, np.ndarray]], spec: str) -> dict[str, np.ndarray]:
    """The examples that `spec` selects of splits held in memory."""
    parts = splits.resolve(spec, {name: len(arrays["image"]) for name, arrays in by_split.items()})
    keys = by_split[parts[0][0]]
    return {k: np.concatenate([by_split[name][k][start:stop] for name, start, stop in parts]) for k in keys}


def statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of images [N, H, W, C] uint8, over pixels in [0, 1]."""
    # Counting the 256 values is exact and needs no float copy of the images.
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])])
    share, values = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
    mean = share @ values
    std = np.sqrt(np.maximum(share @ values**2 - mean**2, 0.0))
    return tuple(float(m) for m in mean), tuple(float(max(s, 1e-6)) for s in std)


def normalisation(mean, std, images, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The page's `mean` and `std` where given, otherwise those of `images()` ([N, H, W, C] uint8)."""
    for name, given in (("mean", mean), ("std", std)):
        if len(given) not in (0, channels):
            raise DataError(f"data.{name} has {len(given)} numbers, the images have {channels} channels")
    if mean and std:
        return tuple(mean), tuple(std)
    found = statistics(images())
    return tuple(mean) or found[0], tuple(std) or found[1]
