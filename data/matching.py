"""Which mask belongs to which image, by the names of their files up to the suffix."""

import pathlib
import re
from collections.abc import Iterator, Sequence

from data.errors import DataError

Files = Sequence[pathlib.Path]
Pair = tuple[pathlib.Path, pathlib.Path]  # an image and its mask
NAME = "{name}"


def pair_up(images: Files, masks: Files, match: str) -> list[Pair]:
    """The files that belong together, in natural order of the part that their names share.

    images, masks: where both are the same files, the masks are those that the pattern names after another file.
    match: "name", "number" or a pattern such as "{name}_mask"; see `data.pairs`.

    Raises DataError for another `match`, and for a file without a counterpart; the message has the `match` that would
    pair all files, if there is one.
    """
    if match not in ("name", "number") and match.count(NAME) != 1:
        raise DataError(f"data.match={match!r} is unknown: 'name' or 'number', or a pattern such as '{NAME}_mask'")
    try:
        return _paired(images, masks, match)
    except DataError as error:
        for candidate in _candidates(images, masks):
            if candidate != match and _pairs(images, masks, candidate):
                raise DataError(f"{error}: data.match={candidate!r} pairs all of them") from None
        raise


def _paired(images: Files, masks: Files, match: str) -> list[Pair]:
    if images == masks:
        images, masks = _told_apart(images, match)
    of_images, of_masks = _by_key(images, NAME if NAME in match else match), _by_key(masks, match)
    same = match if match in ("name", "number") else "name"
    for these, others, folder in ((of_images, of_masks, masks), (of_masks, of_images, images)):
        for key in sorted(these.keys() - others.keys()):
            where = f" in {folder[0].parent}" if folder else ""
            raise DataError(f"{these[key]} has no counterpart of the same {same}{where}")
    natural = lambda key: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", key)]
    return [(of_images[key], of_masks[key]) for key in sorted(of_images, key=natural)]


def _pairs(images: Files, masks: Files, match: str) -> bool:
    """Whether `match` pairs all files."""
    try:
        return bool(_paired(images, masks, match))
    except DataError:
        return False


def _told_apart(files: Files, match: str) -> tuple[Files, Files]:
    """(images, masks) of one folder. Raises DataError where `match` is not a pattern."""
    if NAME not in match:
        raise DataError(
            f"images and masks are both in {files[0].parent}: data.match has to be a pattern of the masks' names, such"
            f" as '{NAME}_mask'"
        )
    stems = {file.stem for file in files}
    masks = [file for file in files if (found := _form(match).fullmatch(file.stem)) and found[1] in stems]
    return [file for file in files if file not in set(masks)], masks


def _by_key(files: Files, match: str) -> dict[str, pathlib.Path]:
    """What the name of a file shares with that of its counterpart -> the file."""
    form, found = re.compile(r"\D*(\d+)") if match == "number" else _form(NAME if match == "name" else match), {}
    for file in files:
        key = form.match(file.stem) if match == "number" else form.fullmatch(file.stem)
        if key is None:
            raise DataError(
                f"{file} has no number in its name: data.match='name'"
                if match == "number"
                else f"the name of {file} is not {match!r}"
            )
        if key[1] in found:
            raise DataError(f"{found[key[1]]} and {file} have the same {'number' if match == 'number' else 'name'}")
        found[key[1]] = file
    return found


def _form(pattern: str) -> re.Pattern:
    before, after = pattern.split(NAME)
    return re.compile(f"{re.escape(before)}(.+){re.escape(after)}", re.DOTALL)


def _candidates(images: Files, masks: Files) -> Iterator[str]:
    """What may be right for `match`: patterns of the longest mask name that hold the name of an image."""
    yield from ("name", "number")
    longest = max((mask.stem for mask in masks), key=len, default="")
    for stem in sorted({image.stem for image in images}, key=len, reverse=True):
        if stem in longest and stem != longest:
            yield longest.replace(stem, NAME, 1)
