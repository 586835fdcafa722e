"""A picture file as Pillow decodes it, upright; its mode and bits are as in the file."""

import dataclasses
import io
import struct
import zlib

from PIL import Image, UnidentifiedImageError

from data.errors import DataError

DEEP = ("I;16", "I;16B", "I;16L", "I", "F")
TURNS = {  # the orientation in EXIF -> what makes a picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION, PHOTOMETRIC, WHITE_IS_ZERO = 0x0112, 262, 0  # tags of EXIF and TIFF

CORRUPT = (  # what Pillow raises
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class Unreadable(DataError):
    """A file that Pillow cannot decode."""


@dataclasses.dataclass(frozen=True)
class Decoded:
    """A picture as Pillow decodes it.

    Attributes:
      image: the first frame.
      format: of the file, "PNG".
      raw: how the pixels lie in the file, in Pillow's words: "I;12".
      animated: whether there are more frames.
      inverted: whether the largest value of a deep image is black.
    """

    image: Image.Image
    format: str
    raw: str
    animated: bool
    inverted: bool


def load(file, hint: str = "", upright: bool = True) -> Decoded:
    """The picture in `file`, with the orientation in EXIF carried out where `upright`.

    Raises Unreadable that names the file and ends in `hint`, DataError for a stack of pages.
    """
    try:
        with Image.open(file) as image:
            kind, raw = image.format, _raw(image)
            pages = image.n_frames if kind == "TIFF" else 1
            stacked = pages > 1 and _same_size(image, pages)
            animated = getattr(image, "is_animated", False)  # formats without animation lack it
            inverted = kind == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
            image.load()
            turn = TURNS.get(_orientation(image)) if upright else None
    except CORRUPT as error:
        raise _unreadable(file, error, hint) from error
    if stacked:
        raise DataError(f"{file} is a stack of {pages} pages: save each page as a file")
    return Decoded(image if turn is None else image.transpose(turn), kind, raw, animated, inverted)


def picture_size(file, hint: str = "", upright: bool = True) -> tuple[int, int]:
    """(height, width) of the picture in `file`, from its header. Raises Unreadable that names the file; see `load`."""
    try:
        with Image.open(file) as image:
            # Pillow has turned the size of a TIFF already.
            lies = upright and image.format != "TIFF" and _orientation(image) >= 5
            return image.size if lies else image.size[::-1]
    except CORRUPT as error:
        raise _unreadable(file, error, hint) from error


def _orientation(image: Image.Image) -> int:
    """1 to 8; 1 where the EXIF of a picture cannot be read, which does not make the picture unreadable."""
    try:
        # Pillow decodes a PNG to look for tags behind its pixels.
        tags = Image.Image.getexif(image) if image.format == "PNG" and not _late_tags(image.fp) else image.getexif()
        found = tags.get(ORIENTATION, 1)
    except CORRUPT:
        return 1
    return found if found in TURNS else 1


def _late_tags(file) -> bool:
    """Whether a PNG has EXIF or XMP behind its pixels. `file` stays where it is."""
    if file is None:  # loaded: the tags have been read
        return False
    place, seen = file.tell(), False
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            seen |= name == b"IDAT"
            start = file.read(min(length, 20))
            if seen and (name == b"eXIf" or start.startswith((b"Raw profile type", b"XML:com.adobe.xmp"))):
                return True
            file.seek(length + 4 - len(start), io.SEEK_CUR)
        return False
    finally:
        file.seek(place)


def _same_size(image: Image.Image, pages: int) -> bool:
    """Whether another page has the size of the first; smaller ones are previews."""
    size = image.size
    try:
        return any(image.seek(page) or image.size == size for page in range(1, pages))
    finally:
        image.seek(0)


def _raw(image: Image.Image) -> str:
    """How the pixels lie in the file, in Pillow's words."""
    arguments = image.tile[0].args if image.tile else ""
    return str(arguments[0]) if isinstance(arguments, tuple) and arguments else str(arguments)


def _unreadable(file, error: Exception, hint: str) -> Unreadable:
    why = " ".join(str(error).split())
    if isinstance(error, UnidentifiedImageError):  # whose text repeats the name
        why = "Pillow does not find a picture in it"
    return Unreadable(f"cannot read image {file}: {why}{hint}")
