"""The slicing syntax of TensorFlow Datasets: `train`, `train[:90%]`, `train[:99]`, `train[-9:]+test`, `all`.

https://www.tensorflow.org/datasets/splits

Slices are contiguous: where a set gets or loses files, examples move across their bounds. A run remembers which
examples each of its sets has, and refuses to evaluate on those that it has trained on (experiments/build/memory.py).
Sets that grow keep their splits in folders of their own.
"""

import re

from data.errors import DataError, unknown

_PART = re.compile(r"([\w-]+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?")


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
        if name not in sizes:
            raise unknown("split", name, sizes)
        size = sizes[name]
        start, stop = _bound(start or "0", size, part), _bound(stop or str(size), size, part)
        if start >= stop:
            raise DataError(f"split {part!r} selects none of the {size} examples of {name!r}")
        slices.append((name, start, stop))
    return slices


def _bound(text: str, size: int, part: str) -> int:
    number, whole = (int(text[:-1]), 100) if text.endswith("%") else (int(text), size)
    if abs(number) > whole:
        raise DataError(f"split {part!r} reaches beyond the {size} examples there are")
    number += whole * text.startswith("-")
    return round(number * size / whole) if text.endswith("%") else number
