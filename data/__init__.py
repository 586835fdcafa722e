"""Where examples come from (sources), how batches are made (pipeline, samplers) and how they are varied (augment).

A page writes `name="digits"`, `"tfds:cifar10"`, `"folder:path"` or `"npz:path"`: the word before the colon picks a line
of SOURCES, the text after it is that function's argument. Each entry is a function
`(argument, split, **options) -> Source` whose options, with their defaults, are keys of a page's `data`; the fields of
a dataclass among them are keys too (data/options.py).
"""

import importlib
from collections.abc import Callable

from data.errors import DataError, unknown
from data.options import bound, parameters
from data.table import SOURCES


def find_source(name: str) -> tuple[Callable, str]:
    """`"tfds:cifar10"` -> (the function that opens it, `"cifar10"`). Raises DataError for an unknown name."""
    kind, _, argument = name.partition(":")
    if kind not in SOURCES:
        raise unknown("data set", kind, SOURCES)
    module, function = SOURCES[kind].split(":")
    return getattr(importlib.import_module(module), function), argument


def open_source(name: str, split: str, **options):
    """Opens `split` (TFDS slicing syntax, see data/splits.py) of data set `name` as a data.source.Source."""
    function, argument = find_source(name)
    known = list(parameters(function))[2:]
    for option in options:
        if option not in known:
            raise unknown(f"option of data set {name}", option, known)
    return function(argument, split, **bound(function, options))


__all__ = ["SOURCES", "DataError", "find_source", "open_source"]
