"""What the arrays of a batch are. Everything downstream depends on a field's kind, never on its name."""

import dataclasses
import zlib
from collections.abc import Mapping

from data.errors import DataError, unknown


@dataclasses.dataclass(frozen=True)
class Kind:
    """moves: how geometry moves an array of this kind. fill: its value outside the image and in padding."""

    moves: str  # "linear" or "nearest" (pixels, sampled so), "corners" (boxes), "points", or "stays"
    fill: float


KINDS = {
    "image": Kind("linear", 0),  # [H, W, C] uint8, or float in [0, 1]
    "mask": Kind("nearest", -1),  # [H, W] int: a class (-1: ignored), or the number of an object
    "map": Kind("linear", 0),  # [H, W] float: a quantity of each pixel, such as a weight or a depth
    "boxes": Kind("corners", 0),  # [N, 4] float: x1, y1, x2, y2 in pixels, 0 where there is none
    "points": Kind("points", 0),  # [N, K, 3] float: x, y in pixels, visibility; 0 where there is none
    "label": Kind("stays", -1),  # [] int: the class of the example, -1 without one
    "labels": Kind("stays", -1),  # [N] int: the class of each box, -1 where there is none
    "tokens": Kind("stays", 0),  # [T] int: words, 0 is <pad>
    "number": Kind("stays", 0),  # any shape: carried along unchanged
}


@dataclasses.dataclass(frozen=True)
class Field:
    """One array of a batch. Arrays of varying length (boxes, words) are padded to `shape`.

    kind: a key of KINDS.
    shape: of one example.
    dtype: as the source gives it.
    names: classes of label, labels or mask; the vocabulary of tokens; the parts that points mark.
    fill: the value outside the image and in padding; None: that of the kind.
    of: the field that these rows belong to, as labels to boxes: an object whose box leaves the picture loses both.
        Of boxes it is the mask whose value 1 + i marks the visible pixels of object i, where there is one: boxes are
        then those of the moved mask, exactly.
    spatial: tokens name places in the picture ("at the left"): a task that reads them cannot have pixels moved.
    group: "" or, where examples of unpaired sets make a batch, the name of the other set; the field is called
        "GROUP" or "GROUP/…".
    """

    kind: str
    shape: tuple[int, ...]
    dtype: str
    names: tuple[str, ...] = ()
    fill: float | None = None
    of: str = ""
    group: str = ""
    spatial: bool = False

    def __post_init__(self):
        if self.kind not in KINDS:
            raise unknown("kind of field", self.kind, KINDS)

    @property
    def outside(self) -> float:
        """Its value outside the image and in padding."""
        return KINDS[self.kind].fill if self.fill is None else self.fill

    @property
    def moves(self) -> str:
        """How geometry moves it; see Kind."""
        return KINDS[self.kind].moves


def check_fields(fields: Mapping[str, Field]) -> None:
    """Raises DataError where a name does not show its group or `of` does not name a field of the same group."""
    for name, field in fields.items():
        if field.group and name.partition("/")[0] != field.group:
            raise DataError(
                f"field {name!r} of group {field.group!r} must be called {field.group!r} or '{field.group}/…'"
            )
        if field.of and (field.of not in fields or fields[field.of].group != field.group):
            raise DataError(f"field {name!r} belongs to {field.of!r}, which is not a field of its group")


def of_kind(fields: Mapping[str, Field], *kinds: str) -> dict[str, Field]:
    """The fields of these kinds."""
    return {name: field for name, field in fields.items() if field.kind in kinds}


def by_group(fields: Mapping[str, Field]) -> dict[str, dict[str, Field]]:
    """group -> its fields."""
    return {
        group: {name: field for name, field in fields.items() if field.group == group}
        for group in dict.fromkeys(field.group for field in fields.values())
    }


def joined(name: str, group: str) -> str:
    """The name in a batch for a group: "id" -> "id/other"."""
    return f"{name}/{group}" if group else name


def group_number(group: str) -> int:
    """A number that distinguishes the random draws of a group; 0 of the group ""."""
    return zlib.crc32(group.encode()) & 0x7FFFFFFF
