"""The keys of a page's `data` that say how picture files are read: a class for each set of keys that a source may have.

A source takes one object of its class, which `data.open_source` makes from the flat keys of a page.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from data import find_source
from data.options import bound
from data.placement import Size
from data.preparation import Preparation


@dataclasses.dataclass(frozen=True)
class Reading:
    """The keys of every source of picture files.

    Attributes:
      white: the value of white in files of 16 or 32 bits or floats, see data/preparation.py; 0: not given.
      background: the colour under what is transparent, one number for all channels or one for each, 0 to 255.
    """

    white: float = 0.0
    background: tuple[int, ...] = (255,)

    @property
    def canvas(self) -> tuple[Size, str]:
        """(size, crop) of a Preparation."""
        raise NotImplementedError

    def preparation(self, channels: int, hint: str = "") -> Preparation:
        """How a file becomes an image. Raises DataError for keys that do not fit."""
        return Preparation(channels, *self.canvas, self.white, self.background, hint=hint)


@dataclasses.dataclass(frozen=True)
class Framed(Reading):
    """Attributes:
    image_size, crop: a side or (height, width), see data/placement.py; without a size pictures are taken as they are.
    """

    image_size: Size = None
    crop: str = "center"

    @property
    def canvas(self):
        return self.image_size, self.crop


@dataclasses.dataclass(frozen=True)
class Pictures(Framed):
    """Attributes:
    channels: 3 (RGB) or 1 (grey).
    """

    channels: int = 3


@dataclasses.dataclass(frozen=True)
class Resized(Reading):
    """Attributes:
    size: (H, W) to which pictures are resized (antialiased bilinear); empty: they are taken as they are.
    channels: 3 (RGB) or 1 (grey).
    """

    size: tuple[int, ...] = ()
    channels: int = 3

    @property
    def canvas(self):
        return self.size or None, "resize"


def preparation(name: str, options: Mapping[str, Any], channels: int) -> Preparation | None:
    """How the data set `name` reads a picture file with these options; None where it reads none. Opens nothing.

    channels: of its images.
    """
    given = bound(find_source(name)[0], options).values()
    return next((one.preparation(channels) for one in given if isinstance(one, Reading)), None)
