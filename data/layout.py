"""How pictures lie in folders: a folder for each split, and in it a folder for each class.

    path/cat/*.png                  classes; all are in the split "train"
    path/train/cat/*.png            splits, called as data/splits.py says, and classes
    path/*.png, path/train/*.png    no classes

Classes are the folders that hold pictures at any depth, at least two in all splits together; their names are compared
in NFC. With fewer folders the data have no classes, and all pictures at any depth are examples without a label. Where
there are class folders, pictures outside of them are left out. Layouts that can be read in two ways are refused.
"""

import dataclasses
import pathlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from data.errors import DataError
from data.files import LeftOut, PictureFiles, folders_in, reasons
from data.splits import by_meaning, meaning

Listing = list[tuple[pathlib.Path, str | None]]  # (file, class name) of every example of a split


@dataclasses.dataclass(frozen=True)
class Examples:
    """The pictures of a data set.

    Attributes:
      listings: split -> its pictures; the name of a class is None where there is none.
      left_out: what is not among them.
      ignored: columns of a list that are not read.
    """

    listings: dict[str, Listing]
    left_out: LeftOut = dataclasses.field(default_factory=Counter)
    ignored: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, sorted; () for fewer than two."""
        names = {label for listing in self.listings.values() for _, label in listing} - {None}
        return tuple(sorted(names)) if len(names) > 1 else ()


def class_folders(path: pathlib.Path) -> Examples:
    """The pictures under `path`. Raises DataError where there are none, or the layout can be read in two ways."""
    found = PictureFiles()
    inside = folders_in(path)
    splits = by_meaning([folder.name for folder in inside if meaning(folder.name)], path)
    roots = {split: path / name for split, name in splits.items()} or {"train": path}
    listings: dict[str, Listing] = {}
    for split, root in roots.items():
        listings[split] = [(file, _class_of(file, root)) for file in found.files(root)]
        if not listings[split]:
            raise DataError(f"no images under {root}" + (f": {reasons(found.left_out)}" if found.left_out else ""))
        _check_depth(listings[split], root)
    if splits:
        outside = [folder for folder in inside if not meaning(folder.name) and PictureFiles().files(folder)]
        if outside and len(splits) == 1 and not any(label for listing in listings.values() for _, label in listing):
            (name,) = splits.values()
            raise DataError(f"{path}: is {name!r} a split or a class, as {outside[0].name!r} is? Rename the folder")
        loose = len(found.files(path, deep=False)) + sum(len(PictureFiles().files(folder)) for folder in outside)
        if loose:
            found.left_out["outside of the splits"] = loose
    examples = Examples(listings, found.left_out)
    found.check_doubles(lambda file: _group(file, roots, bool(examples.classes)))
    return _only_labelled(examples, path) if examples.classes else examples


def _class_of(file: pathlib.Path, root: pathlib.Path) -> str | None:
    name, *below = file.relative_to(root).parts
    return unicodedata.normalize("NFC", name) if below else None


def _group(file: pathlib.Path, roots: dict[str, pathlib.Path], classes: bool) -> str:
    """The split of a file, and its class."""
    split, root = next((split, root) for split, root in roots.items() if file.is_relative_to(root))
    return f"{split} {_class_of(file, root) or ''}".strip() if classes else split


def _check_depth(listing: Listing, root: pathlib.Path) -> None:
    """Raises DataError where splits are below what would be classes."""
    below: dict[pathlib.Path, dict[str, None]] = {}
    for file, _ in listing:
        parts = file.relative_to(root).parts
        if len(parts) > 2 and meaning(parts[1]):
            below.setdefault(root / parts[0], {})[parts[1]] = None
    for folder, names in below.items():
        if len({meaning(name) for name in names}) > 1:
            raise DataError(
                f"{folder} holds the splits {' and '.join(names)}: write the path of this folder, or put the"
                " splits above the classes"
            )


def _only_labelled(examples: Examples, path: pathlib.Path) -> Examples:
    """Without the pictures that are in no class. Raises DataError where one class seems to have two names."""
    seen: dict[str, set[str]] = {}
    for split, listing in examples.listings.items():
        for _, label in listing:
            seen.setdefault(label, set()).add(split)
    seen.pop(None, None)
    same: dict[str, str] = {}
    for name in sorted(seen):
        other = same.setdefault(name.casefold(), name)
        if other != name and not seen[other] & seen[name]:
            raise DataError(f"{path}: {other!r} and {name!r} are in different splits: are they one class?")
    kept = {split: [(file, label) for file, label in listing if label] for split, listing in examples.listings.items()}
    loose = sum(map(len, examples.listings.values())) - sum(map(len, kept.values()))
    more = Counter({"outside of the class folders": loose})
    return Examples({split: listing for split, listing in kept.items() if listing}, examples.left_out + more)


def split_folders(path: pathlib.Path, first: str, second: str) -> dict[str, tuple[pathlib.Path, pathlib.Path]]:
    """split -> its two folders, called `first` and `second`; the training split comes first.

    They lie under `path`, which is then the split `train`; otherwise every sub-folder that has both is a split.
    "{split}" is replaced by the name of the split. Raises DataError where there are none, for two names of one split,
    and where `path` has the folders and splits have them too.
    """
    here = "{split}" not in first + second
    patterns = [pattern if "{split}" in pattern else f"{{split}}/{pattern}" for pattern in (first, second)]
    folders = {
        name: tuple(path / pattern.replace("{split}", name) for pattern in patterns)
        for name in _names(path, patterns[0])
    }
    folders = {name: pair for name, pair in folders.items() if all(folder.is_dir() for folder in pair)}
    own = (path / first, path / second)
    if here and all(folder.is_dir() for folder in own):
        if folders:
            raise DataError(f"{path} has the folders {first} and {second}, and {next(iter(folders))} has them too")
        return {"train": own}
    if not folders:
        raise DataError(f"{path} has no folders {' and '.join(patterns)}")
    return {split: folders[name] for split, name in by_meaning(folders, path).items()}


def _names(path: pathlib.Path, pattern: str) -> Iterator[str]:
    """The names of the folders that fit the pattern, in the place of "{split}"."""
    before, _, after = pattern.partition("{split}")
    above, _, prefix = before.rpartition("/")
    suffix = after.partition("/")[0]
    form = re.compile(f"{re.escape(prefix)}(.+){re.escape(suffix)}", re.DOTALL)
    for folder in folders_in(path / above) if (path / above).is_dir() else ():
        if match := form.fullmatch(folder.name):
            yield match[1]


def image_files(folder: pathlib.Path, found: PictureFiles | None = None) -> list[pathlib.Path]:
    """The images directly in `folder`, by name. Raises DataError where there are none."""
    files = (found or PictureFiles()).files(folder, deep=False)
    if not files:
        raise DataError(f"no images in {folder}")
    return files
