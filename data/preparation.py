"""From a picture file of any kind and size to 8 bits a channel on the canvas that a model takes; on the host.

What each mode that Pillow opens becomes (a mask: data/masks.py):

    mode                       picture                                          mask
    1, L, P                    its greys or colours                             its values or palette indices
    RGB, RGBX                  its colours                                      the class of each colour of data.colors
    LA, La, RGBA, RGBa, PA     over data.background, as far as it is            as above if all of it is opaque, else
                                transparent                                      refused
    any with a transparent     the same                                         as without it
     colour
    CMYK, YCbCr, LAB, HSV      converted to RGB                                 refused
    I;16, I;16B, I;16L         value / data.white; without it 65535 is white,   its values
                                but a largest value of 4095 or less is refused
    I (32 bits), F (floats)    value / data.white; refused without it           its values, which must be whole numbers

The orientation in EXIF is carried out, for pictures and masks. An animation gives its first frame; a TIFF of several
pages of one size is refused, and so is an animated mask. Colours of 16 bits a channel lose their lower 8 bits.
Values below 0 or above white, or that are not finite, are refused.
"""

import dataclasses
import re
from collections.abc import Iterable

import numpy as np
from PIL import Image

from data.decode import DEEP, Decoded, load
from data.errors import DataError
from data.placement import Placement, Size, check_crop, place
from data.source import in_threads

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by the number of channels of an image
VIA = {"La": "LA", "RGBa": "RGBA", "LAB": "RGB", "HSV": "RGB", "YCbCr": "RGB", "CMYK": "RGB"}
COARSE = re.compile("(LA|RGB|RGBX|RGBA|CMYK)[a-z]*;16.*")  # of 16 bits a channel, which Pillow reads as 8
# Of deep images that Pillow scales itself, or whose header has the bits: by (format, mode), or by their raw mode.
KNOWN_WHITE = {("PPM", "I"): 65535, ("JPEG2000", "I;16"): 65535, "I;12": 4095}


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How the picture files of a page become the images that its network takes: the same for training and predicting.

    Attributes:
      channels: 1 (grey), 3 (RGB) or 4 (RGBA).
      size, crop: of the canvas; see data/placement.py.
      white, background: see data/reading.py.
      upright: whether the orientation in EXIF is carried out.
      hint: the end of the message about a file that cannot be decoded.

    Raises DataError for values that do not fit.
    """

    channels: int
    size: Size = None
    crop: str = "resize"
    white: float = 0.0
    background: tuple[int, ...] = (255,)
    upright: bool = True
    hint: str = ""

    def __post_init__(self):
        check_crop(self.crop, self.size)
        if self.channels not in MODES:
            raise DataError(f"data.channels must be 1 or 3, found {self.channels}")
        if not 0 <= self.white < np.inf:
            raise DataError(f"data.white={self.white}: the value of white in files of 16 bits or floats, above 0")
        if len(self.background) not in (1, self.channels) or not all(
            isinstance(x, int) and 0 <= x <= 255 for x in self.background
        ):
            raise DataError(f"data.background={self.background!r}: one number for each of the channels, 0 to 255")

    @property
    def random(self) -> bool:
        """Whether two uses of a file may differ."""
        return self.crop == "random"

    def check_fixed(self) -> None:
        """Raises DataError where two uses of a file may differ, so that none of them can be kept."""
        if self.random:
            raise DataError(
                "data.cache keeps each picture once, but data.crop='random' takes another part of it at each use:"
                " choose another crop, and augment with data.augment"
            )

    def place(self, width: int, height: int, key: np.ndarray | None = None) -> Placement:
        """Where a picture of `width` × `height` goes."""
        return place(width, height, self.size, self.crop, key)

    def read(self, file, key: np.ndarray | None = None) -> tuple[np.ndarray, Placement]:
        """The picture in `file` (a path or a binary file) as [H, W, C] uint8 on its canvas, and where it is there.

        key: of the random crop. Raises DataError that names the file.
        """
        image = self._converted(load(file, self.hint, self.upright), file)
        placement = self.place(image.width, image.height, key)
        image = placement.draw(image)
        return np.asarray(image).reshape(image.height, image.width, self.channels), placement

    def read_all(self, files: Iterable) -> np.ndarray:
        """[N, H, W, C] uint8: the images of `files`, read by threads, without keys."""
        return np.stack([image for image, _ in in_threads(self.read, files)])

    def whole(self, file) -> np.ndarray:
        """[H, W, C] uint8: the picture in `file` at its own size."""
        return dataclasses.replace(self, size=None, crop="resize").read(file)[0]

    def _converted(self, found: Decoded, file) -> Image.Image:
        """The image in 8 bits of the mode of `channels`."""
        image = found.image
        if image.mode in DEEP:
            image = self._eight_bits(found, file)
        elif COARSE.fullmatch(found.raw):
            self._check_coarse(image, file)
        if image.mode in VIA:
            image = image.convert(VIA[image.mode])
        if image.has_transparency_data and self.channels != 4:
            background = self.background * 3 if len(self.background) == 1 else self.background
            below = Image.new("RGBA", image.size, (*background, 255))
            image = Image.alpha_composite(below, image.convert("RGBA")).convert("RGB")
        mode = MODES[self.channels]
        return image if image.mode == mode else image.convert(mode)

    def _eight_bits(self, found: Decoded, file) -> Image.Image:
        """L of an image of 16 or 32 bits; LA where one of its values is transparent."""
        mode, values = found.image.mode, np.asarray(found.image)
        low, high = float(values.min()), float(values.max())
        if not np.isfinite(low + high):
            raise DataError(f"{file} holds values that are not finite")
        white = self.white or KNOWN_WHITE.get((found.format, mode)) or KNOWN_WHITE.get(found.raw, 0)
        kind = {"I": "32-bit integers", "F": "floats"}.get(mode, "16 bits")
        if not white and mode in ("I", "F"):
            raise DataError(
                f"{file} holds {kind} from {low:g} to {high:g}: set data.white to the value of white, as in"
                f" data.white={_guess(high, mode)}"
            )
        if not white and 0 < high <= 4095:
            raise DataError(
                f"{file} has 16 bits, but its largest value is {high:g}: set data.white={_guess(high, mode)} if"
                " that is white, or data.white=65535 to take the values as they are"
            )
        white = white or 65535
        if low < 0 or high > white:
            raise DataError(f"{file} holds {kind} from {low:g} to {high:g}, outside of 0 to data.white={white:g}")
        scaled = np.rint(values * (255 / white)).astype(np.uint8)
        grey = Image.fromarray(255 - scaled if found.inverted else scaled)
        if (see_through := found.image.info.get("transparency")) is not None:
            grey.putalpha(Image.fromarray(np.where(values == see_through, 0, 255).astype(np.uint8)))
        return grey

    def _check_coarse(self, image: Image.Image, file) -> None:
        """Raises DataError where the upper 8 of 16 bits, which Pillow reads of colours, do not show the picture."""
        high = max(top for _, top in _extrema(image))
        if self.white not in (0, 65535) or (not self.white and 0 < high <= 15):
            raise DataError(
                f"{file} has colours of 16 bits; only the upper 8 bits are read, and they are {high} at most:"
                " save it with 8 bits" + ("" if self.white else ", or set data.white=65535 to take it as it is")
            )


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    found = image.getextrema()
    return list(found) if isinstance(found[0], tuple) else [found]


def _guess(high: float, mode: str) -> str:
    """The white that a file of this largest value probably has."""
    if mode == "F" and high <= 1:
        return "1.0"
    return str(next((white for white in (255, 1023, 4095, 65535) if high <= white), f"{high:g}"))
