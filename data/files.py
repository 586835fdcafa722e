"""Which files in a folder are pictures of a data set, and what is left out.

Not data: hidden files and folders at any depth (".git", "._x.jpg"), what systems leave behind (SYSTEM), files without
the suffix of a picture, links that lead nowhere. A link to a folder above itself ends there. A file that is reached
twice by links is read once, by the first of its paths.
"""

import os
import pathlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from data.errors import DataError, one_line

SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".png", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".tga"),
    )
)
SYSTEM = frozenset(
    name.casefold()
    for name in (
        *("__MACOSX", "Icon\r", "Thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "@eaDir", "#recycle"),
        *("$RECYCLE.BIN", "System Volume Information", "lost+found"),
    )
)
MOST = 10  # names of classes in a description

LeftOut = Counter[str]  # why -> how many


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is not data."""
    return name.startswith(".") or name.casefold() in SYSTEM


def folders_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders directly in `folder` that may hold data, by name."""
    return [folder / entry.name for entry in _entries(folder) if not hidden(entry.name) and entry.is_dir()]


class PictureFiles:
    """The pictures of a data set that lie in folders.

    Attributes:
      left_out: what is not read; grows with each folder.
      doubles: (the path by which a file is read, another path of it).
    """

    def __init__(self):
        self.left_out: LeftOut = Counter()
        self.doubles: list[tuple[pathlib.Path, pathlib.Path]] = []
        self._seen: dict[str, pathlib.Path] = {}  # where a file is without links -> the path by which it is read

    def files(self, folder: pathlib.Path, deep: bool = True) -> list[pathlib.Path]:
        """The pictures in `folder`, by name; without `deep` those directly in it."""
        return list(self._walk(folder, (os.path.realpath(folder),), deep))

    def check_doubles(self, group: Callable[[pathlib.Path], object]) -> None:
        """Raises DataError for a file whose paths are of two groups: of two splits, say, or of two classes."""
        for first, again in self.doubles:
            if group(first) != group(again):
                raise DataError(f"{first} and {again} are one file, in {group(first)} and in {group(again)}")

    def _walk(self, folder: pathlib.Path, above: tuple[str, ...], deep: bool) -> Iterator[pathlib.Path]:
        for entry in _entries(folder):
            path, place = folder / entry.name, os.path.join(above[-1], entry.name)
            place = os.path.realpath(place) if entry.is_symlink() else place
            if hidden(entry.name):
                self.left_out["hidden"] += 1
            elif entry.is_dir():
                if deep and place not in above:
                    yield from self._walk(path, (*above, place), deep)
                elif deep:
                    self.left_out["links to a folder above"] += 1
            elif path.suffix.lower() not in SUFFIXES:
                self.left_out[path.suffix.lower() or "without a suffix"] += 1
            elif not entry.is_file():
                self.left_out["links that lead nowhere"] += 1
            elif place in self._seen:
                self.left_out["reached twice"] += 1
                self.doubles.append((self._seen[place], path))
            else:
                self._seen[place] = path
                yield path


def stamps(files: Iterable[pathlib.Path]) -> list[tuple[str, int, int]]:
    """(path, bytes, time of the last change in ns) of each file, which a change of its content changes."""
    found = ((file, file.stat()) for file in files)
    return [(os.fspath(file), stat.st_size, stat.st_mtime_ns) for file, stat in found]


def left_in(folder: pathlib.Path, used: Iterable[pathlib.Path]) -> LeftOut:
    """What a data set leaves out that reads the pictures `used` in `folder`."""
    every, used = PictureFiles(), set(used)
    elsewhere = sum(file not in used for file in every.files(folder))
    return every.left_out + Counter({"in other folders": elsewhere})


def reasons(left_out: Mapping[str, int]) -> str:
    """ "left out 3: 2 .txt, 1 hidden"."""
    parts = ", ".join(f"{count:,} {why}" for why, count in sorted(left_out.items()))
    return f"left out {sum(left_out.values()):,}: {parts}"


def describe(
    name: str,
    sizes: Mapping[str, int],
    classes: Sequence[str] = (),
    left_out: Mapping[str, int] | None = None,
    columns: Sequence[str] = (),
) -> str:
    """One line on what a data set has: "folder:x: 12 images, 2 classes (a, b), train 9 and test 3; left out 1: 1 .txt".

    sizes: split -> number of images. columns: of a list, that are not read.
    """
    parts = [f"{sum(sizes.values()):,} images"]
    if classes:
        more = f", … {len(classes) - MOST:,} more" if len(classes) > MOST else ""
        parts.append(f"{len(classes):,} classes ({', '.join(classes[:MOST])}{more})")
    parts.append(" and ".join(f"{split} {size:,}" for split, size in sizes.items()))
    line = f"{name}: {', '.join(parts)}"
    if left_out:
        line += f"; {reasons(left_out)}"
    if columns:
        line += f"; not read: column {', '.join(columns)}"
    return one_line(line)


def _entries(folder: pathlib.Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror}") from error
