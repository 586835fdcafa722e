"""Where examples come from (sources), how batches are made (pipeline) and how they are varied (augment).

A page says `name="digits"`, `"tfds:cifar10"`, `"folder:path"` or `"npz:path"`: what stands before the colon
picks a line of SOURCES, what stands after it is that function's argument. Each entry is a function
`(argument, split, **options) -> Source` whose options, with their defaults, are keys of a page's `data`.
"""

import importlib
import inspect
from collections.abc import Callable

from data.errors import DataError, unknown

SOURCES = {
    "binarized_mnist": "data.binarized_mnist:binarized_mnist",
    "digits": "data.digits:digits",
    "folder": "data.folder:folder",
    "gaussians": "data.gaussians:gaussians",
    "npz": "data.npz:npz",
    "pairs": "data.pairs:pairs",
    "scenes": "data.scenes:scenes",
    "synthetic": "data.synthetic:synthetic",
    "tfds": "data.tfds_source:tfds",
}


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
    known = list(inspect.signature(function).parameters)[2:]
    for option in options:
        if option not in known:
            raise unknown(f"option of data set {name}", option, known)
    return function(argument, split, **options)


__all__ = ["SOURCES", "DataError", "find_source", "open_source"]
