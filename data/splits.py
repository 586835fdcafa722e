"""The slicing syntax of TensorFlow Datasets: `train`, `train[:90%]`, `train[100:200]`, `train[-500:]+test`, `all`.

https://www.tensorflow.org/datasets/splits
"""

import re

from data.errors import DataError, choose

_PART = re.compile(r"([\w-]+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?")


def resolve(spec: str, sizes: dict[str, int]) -> list[tuple[str, int, int]]:
    """The slices (split, start, stop) that `spec` names, 0 <= start < stop <= sizes[split].

    A percentage is rounded to the nearest example (so `[:90%]` and `[90%:]` neither overlap nor leave a gap), a
    negative number counts from the end. Raises DataError for a malformed spec, an unknown split or an empty slice.
    """
    slices = []
    for part in (" + ".join(sizes) if spec.strip() == "all" else spec).split("+"):
        match = _PART.fullmatch(part.strip())
        if not match:
            raise DataError(
                f"cannot read split {spec!r}: write it like 'train[:90%]' or 'train[100:200]+test'"
            )
        name, start, stop = match.groups()
        if name not in sizes:
            raise choose("split", name, sizes)
        start, stop = (
            _bound(b, default, part, sizes[name]) for b, default in ((start, 0), (stop, sizes[name]))
        )
        if start >= stop:
            raise DataError(f"split {part.strip()!r} selects none of the {sizes[name]} examples of {name!r}")
        slices.append((name, start, stop))
    return slices


def _bound(text: str | None, default: int, part: str, size: int) -> int:
    if text is None:
        return default
    bound = round(int(text[:-1]) * size / 100) if text.endswith("%") else int(text)
    if abs(bound) > size:
        raise DataError(f"split {part.strip()!r} reaches beyond the {size} examples there are")
    return bound + size if bound < 0 else bound
