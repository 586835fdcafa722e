"""The names of splits, and the slicing syntax of TensorFlow Datasets: `train[:90%]`, `train[-9:]+test`, `all`.

https://www.tensorflow.org/datasets/splits

Folders and lists may call a split by any of NAMES in any case, and so may a page: "Training[:90%]". "eval" is not among
them: some sets mean validation by it, others test.

Slices are contiguous: where a set gets or loses files, examples move across their bounds. A run remembers which
examples each of its sets has, and refuses to evaluate on those that it has trained on (experiments/build/memory.py).
Sets that grow keep their splits in folders of their own.
"""

import re
from collections.abc import Iterable

from data.errors import DataError, unknown

NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}
_MEANING = {name: split for split, names in NAMES.items() for name in names}
_PART = re.compile(r"([\w-]+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?")


def meaning(name: str) -> str | None:
    """The split that a name means, a key of NAMES: "Val" -> "validation"; None for any other name."""
    return _MEANING.get(name.casefold())


def by_meaning(names: Iterable[str], where: object) -> dict[str, str]:
    """split -> its name among `names`, in the order train, validation, test; a name outside of NAMES is a split itself.

    where: what holds them, for the message. Raises DataError for two names of one split.
    """
    found: dict[str, str] = {}
    for name in names:
        split = meaning(name) or name
        if split in found:
            raise DataError(f"{where}: {found[split]!r} and {name!r} both mean the split {split!r}: rename one of them")
        found[split] = name
    rank = lambda split: (list(NAMES).index(split) if split in NAMES else len(NAMES), split)
    return {split: found[split] for split in sorted(found, key=rank)}


def resolve(spec: str, sizes: dict[str, int]) -> list[tuple[str, int, int]]:
    """The slices (split, start, stop) that `spec` names, 0 <= start < stop <= sizes[split].

    A percentage is rounded to the nearest example, so `[:90%]` and `[90%:]` neither overlap nor leave a gap.
    A negative bound counts from the end. Raises DataError: malformed spec, unknown split, empty slice.
    """
    slices = []
    for part in ("+".join(sizes) if spec.strip() == "all" else spec).split("+"):
        part = part.strip()
        match = _PART.fullmatch(part)
        if not match:
            raise DataError(f"cannot read split {spec!r}: write 'train[:90%]' or 'train[100:200]+test'")
        name, start, stop = match.groups()
        name = _known(name, sizes)
        size = sizes[name]
        start, stop = _bound(start or "0", size, part), _bound(stop or str(size), size, part)
        if start >= stop:
            raise DataError(f"split {part!r} selects none of the {size} examples of {name!r}")
        slices.append((name, start, stop))
    return slices


def _known(name: str, sizes: Iterable[str]) -> str:
    """The split among `sizes` that is called `name`, else the one that means the same."""
    if name in sizes:
        return name
    same = [split for split in sizes if meaning(split) and meaning(split) == meaning(name)]
    if len(same) != 1:
        raise unknown("split", name, sizes)
    return same[0]


def _bound(text: str, size: int, part: str) -> int:
    number, whole = (int(text[:-1]), 100) if text.endswith("%") else (int(text), size)
    if abs(number) > whole:
        raise DataError(f"split {part!r} reaches beyond the {size} examples there are")
    number += whole * text.startswith("-")
    return round(number * size / whole) if text.endswith("%") else number
