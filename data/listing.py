"""Lists of pictures: a table of text with a row for each picture, or for each thing in one.

Encoding: a byte order mark says UTF-8, UTF-16 or UTF-32. Without a mark the text is UTF-8 where its bytes are valid
UTF-8, else Latin-1. What may be read in two ways is refused: zero bytes (UTF-16 without a mark), and bytes 80 to 9F in
a text that is not UTF-8 (Windows-1252 has letters there, Latin-1 has none).

Columns are separated by commas, semicolons or tabs, whichever gives the first row the columns that are asked for.
The first row names the columns, in any case and order. A list may begin without names: then the first field of its
first row is an existing file, and the columns have the order in which they are asked for.

Files are relative to the list, or absolute; backslashes may separate folders. A name that does not exist is also looked
for in the other Unicode normal form. Values are stripped of surrounding blanks and brought to NFC.
"""

import codecs
import csv
import dataclasses
import functools
import io
import os
import pathlib
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

from data.errors import DataError
from data.splits import by_meaning

DELIMITERS = ",;\t"
SPLIT = "split"  # the column, which every list may have
MARKS = (  # that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
      line: its number in the file, from 1.
      file: the picture; of several paths to one file, the first in the list.
      values: column -> text, of all columns but "file".
    """

    line: int
    file: pathlib.Path
    values: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Listing:
    """A list.

    Attributes:
      path: of the list.
      rows: in order, at least one.
      columns: of those asked for, the ones it has.
      others: its other columns.
    """

    path: pathlib.Path
    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    others: tuple[str, ...]

    def by_split(self) -> dict[str, list[pathlib.Path]]:
        """split -> its pictures, each once; without a column `split` all are in "train".

        Raises DataError for a row without a split, and for a picture in two of them.
        """
        if SPLIT not in self.columns:
            return {"train": list(dict.fromkeys(row.file for row in self.rows))}
        first = self.agreed(SPLIT)
        names = by_meaning(dict.fromkeys(name.casefold() for name in first.values()), self.path)
        found: dict[str, list[pathlib.Path]] = {split: [] for split in names}
        split_of = {name: split for split, name in names.items()}
        for file, name in first.items():
            found[split_of[name.casefold()]].append(file)
        return found

    def agreed(self, column: str) -> dict[pathlib.Path, str]:
        """file -> its value in `column`. Raises DataError for a row without one, and for two rows that differ."""
        found: dict[pathlib.Path, Row] = {}
        for row in self.rows:
            if not row.values[column]:
                raise DataError(f"{self.path} line {row.line}: no {column}")
            before = found.setdefault(row.file, row)
            if before.values[column] != row.values[column]:
                one, other = (f"{at.values[column]!r} in line {at.line}" for at in (before, row))
                raise DataError(f"{self.path}: {row.file} has the {column} {one} and {other}")
        return {file: row.values[column] for file, row in found.items()}


def read_listing(path: pathlib.Path, required: Sequence[str], optional: Sequence[str] = ()) -> Listing:
    """The list in `path`.

    Args:
      required, optional: columns, the first is "file"; a column `split` is always read where there is one.

    Raises:
      DataError: with the line, a row that is empty, too short or too long, and a file that does not exist; an encoding
        or columns that cannot be told.
    """
    asked = (*required, *(name for name in (*optional, SPLIT) if name not in required))
    try:
        text = decoded(path.read_bytes(), path)
        names, rows = _table(text, path, required, asked)
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot read the list {path}: {error}") from error
    if not rows:
        raise DataError(f"{path} lists no images")
    real, first, found = functools.cache(os.path.realpath), {}, []
    for line, fields in rows:
        values = {name: unicodedata.normalize("NFC", field.strip()) for name, field in zip(names, fields, strict=True)}
        file, place = _file(path, line, fields[names.index("file")].strip(), real)
        file = first.setdefault(place, file)
        found.append(Row(line, file, {name: values[name] for name in asked if name in values and name != "file"}))
    others = tuple(name for name in names if name not in asked)
    return Listing(path, tuple(found), tuple(name for name in asked if name in names), others)


def decoded(content: bytes, path: pathlib.Path) -> str:
    """The text of a list. Raises DataError where the encoding cannot be told; see the head of this file."""
    for mark, encoding in MARKS:
        if content.startswith(mark):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError as error:
                raise DataError(f"{path} begins as {encoding} and is not: {error.reason}") from error
    if b"\0" in content:
        raise DataError(f"{path} holds zero bytes: is it UTF-16 without a byte order mark? Save it as UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        for number, line in enumerate(content.splitlines(), 1):
            if odd := [byte for byte in line if 0x80 <= byte <= 0x9F]:
                raise DataError(
                    f"{path} line {number}: byte {odd[0]:02X} is neither UTF-8 nor Latin-1: save the list as UTF-8"
                ) from None
        return content.decode("latin-1")


def _table(text: str, path: pathlib.Path, required, asked) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """(the names of the columns, (line, fields) of each row), every row with a field for each column."""
    names, delimiter, begins = _columns(text, path, required, asked)
    rows = [*_rows(text, delimiter)][begins:]
    while rows and not rows[-1][1]:  # line breaks at the end
        rows.pop()
    for line, fields in rows:
        if not any(field.strip() for field in fields):
            raise DataError(f"{path} line {line} is empty")
        if len(fields) != len(names):
            count = f"{len(fields)} field{'s' * (len(fields) != 1)}, the first row has {len(names)}"
            hint = ": write a field that holds a separator in quotes" if len(fields) > len(names) else ""
            raise DataError(f"{path} line {line} has {count}{hint}")
    return names, rows


def _columns(text: str, path: pathlib.Path, required, asked) -> tuple[list[str], str, int]:
    """(the names of the columns, what separates them, the number of rows before the first picture)."""
    first = {delimiter: next(_rows(text, delimiter), (1, []))[1] for delimiter in DELIMITERS}
    named = {delimiter: [field.strip().casefold() for field in fields] for delimiter, fields in first.items()}
    count = lambda delimiter: len(set(named[delimiter]) & set(asked)) * (set(required) <= set(named[delimiter]))
    best = max(DELIMITERS, key=count)
    if not any(first.values()):
        raise DataError(f"{path} lists no images: its first line is empty")
    if count(best):
        if twice := [name for name in named[best] if named[best].count(name) > 1]:
            raise DataError(f"{path} has two columns {twice[0]!r}")
        return named[best], best, 1
    width = lambda delimiter: len(first[delimiter]) if _exists(path, "".join(first[delimiter][:1]).strip()) else 0
    best = max(DELIMITERS, key=width)
    if not len(required) <= width(best) <= len(asked):
        shown, names = max(first.values(), key=len), max(named.values(), key=len)
        found = f"the first row is {', '.join(shown[:8])}{' …' if len(shown) > 8 else ''}"
        if names.count(required[0]):
            found = f"{', '.join(name for name in required if name not in names)} is missing"
        raise DataError(f"{path} needs the columns {', '.join(asked[:-1])}: {found}")
    return list(asked[: width(best)]), best, 0


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line on which it begins, fields) of each row; of an empty line no fields."""
    reader, line = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True), 1
    for fields in reader:
        yield line, fields
        line = reader.line_num + 1


def _file(path: pathlib.Path, line: int, text: str, real) -> tuple[pathlib.Path, str]:
    """(the file that a row names, where it is without links)."""
    if not text:
        raise DataError(f"{path} line {line}: no file")
    for candidate in _candidates(text):
        file = path.parent / candidate
        try:
            mode = os.lstat(file).st_mode
        except (OSError, ValueError):
            continue
        if stat.S_ISLNK(mode) and os.path.isfile(file):
            return file, os.path.realpath(file)
        if stat.S_ISREG(mode):
            return file, os.path.join(real(file.parent), file.name)
    raise DataError(f"{path} line {line}: no file {path.parent / text}")


def _exists(path: pathlib.Path, text: str) -> bool:
    return any(os.path.isfile(path.parent / candidate) for candidate in _candidates(text)) if text else False


def _candidates(text: str) -> Iterable[str]:
    """What a name in a list may be called on the disk."""
    slashed = text.replace("\\", "/")
    forms = [unicodedata.normalize(form, name) for name in (text, slashed) for form in ("NFC", "NFD")]
    return dict.fromkeys((text, slashed, *forms))
