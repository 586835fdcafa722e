"""The data of a page by their shapes, where they are not on this machine."""

import dataclasses
import inspect
from typing import Any

import jax
from ml_collections import ConfigDict

from data.errors import DataError, one_line
from data.fields import Field
from data.placement import sides
from data.prepare import find_builder
from data.source import Info, Source, blank_source, labelled_images
from data.splits import resolve
from data.tfds_source import describe
from experiments.build.feeds import read_resident
from experiments.build.parts import Parts

RESIDENT = 2**30  # bytes, as in data.pipeline.resident_arrays

# Examples in the splits of sets of TFDS, which does not have them before a set is prepared: they decide what is
# resident. Of sets that are larger or not here nothing is.
EXAMPLES = {
    "mnist": {"train": 60_000, "test": 10_000},
    "fashion_mnist": {"train": 60_000, "test": 10_000},
    "kmnist": {"train": 60_000, "test": 10_000},
    "cifar10": {"train": 50_000, "test": 10_000},
    "cifar100": {"train": 50_000, "test": 10_000},
}


@dataclasses.dataclass(frozen=True)
class Shapes:
    """The data of a page, as far as a program depends on them.

    Attributes:
      info: of the training data.
      absent: whether they are declared by the page, and not read.
    """

    parts: Parts
    info: Info
    absent: bool

    def source(self, name: str) -> Source:
        return blank_source(self.info) if self.absent else self.parts.source(name)

    def resident(self, name: str) -> dict[str, Any]:
        """name -> array, or shape of one, of a whole split on the devices; {} where it is streamed."""
        section = self.parts.page.data
        if not self.absent:
            return read_resident(section, self.parts.source(name))
        count = _examples(self.parts, name)
        arrays = {
            key: jax.ShapeDtypeStruct((count, *field.shape), field.dtype) for key, field in self.info.fields.items()
        }
        size = sum(x.size * x.dtype.itemsize for x in arrays.values())
        streamed = section.resident == "no" or section.get("crop") == "random" or size > RESIDENT
        return {} if streamed or not count else arrays


def shapes(parts: Parts) -> Shapes:
    """The data of a page, opened where they are here. Raises DataError where they are absent and not declared."""
    kind, _, argument = parts.page.data.name.partition(":")
    if kind == "tfds" and not find_builder(argument, parts.page.data.data_dir).is_prepared():
        return _declare(parts, tfds_info(parts.page.data, argument))
    try:
        return Shapes(parts, parts.source("train").info, absent=False)
    except DataError as error:
        found = declared(parts.page.data, kind)
        if found is None:
            keys = "data.image_size and data.num_classes" if kind == "folder" else "the sizes of its images"
            hint = f"to rehearse without the data, the page has to state {keys}"
            raise DataError(f"{one_line(str(error))}; {hint}") from error
        return _declare(parts, found)


def tfds_info(section: ConfigDict, argument: str) -> Info:
    options = {name: section[name] for name in list(inspect.signature(describe).parameters)[1:]}
    return dataclasses.replace(describe(argument, **options), classes_of=section.classes_of)


def declared(section: ConfigDict, kind: str) -> Info | None:
    """The fields of data that are not here, as the page states them; None where it does not."""
    if kind == "folder":
        size, count = sides(section.image_size), section.num_classes or 0
        if size and count:
            return labelled_images(_names(count), (*size, section.channels), *_plain(section.channels))
    if kind == "pairs" and len(section.size) == 2:
        count = len(section.classes) or len(section.colors) or section.num_classes or 0
        names = tuple(section.classes) or _names(count)
        shape = (*section.size, section.channels)
        fields = {"image": Field("image", shape, "uint8"), "masks": Field("mask", shape[:2], "int16", names)}
        if section.border_weight:
            fields["weight_map"] = Field("map", shape[:2], "float32")
        return Info(fields, *_plain(section.channels)) if names else None
    return None


def _declare(parts: Parts, info: Info) -> Shapes:
    """From here on the page's parts are built on blank data."""
    parts.source = lambda name: blank_source(info)
    return Shapes(parts, info, absent=True)


def _examples(parts: Parts, name: str) -> int:
    """The examples of a set or split of data that are not here; 0 where their number is not known."""
    section, sets = parts.page.data, parts.sets
    known = EXAMPLES.get(section.name.partition(":")[2].partition("/")[0])
    if not known or (name in sets and sets[name].data is not section):
        return 0
    split = sets[name].split if name in sets else section.train if name == "train" else name
    return sum(stop - start for _, start, stop in resolve(split, known))


def _names(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _plain(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return (0.0,) * channels, (1.0,) * channels
