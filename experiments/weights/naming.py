"""Which library's names a file of weights has, among those in the table PORTS of a network's file."""

import dataclasses
import functools
import re
import sys
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from experiments.errors import PageError, near
from experiments.weights.reading import Tensors, renamed
from models.errors import ModelError
from models.port import IGNORED, Port, from_torch

# Flax's own attention has an axis for the heads: name -> (number of axes, the first of the two that are joined).
HEADS = {
    r"MultiHeadDotProductAttention_\d+\.(query|key|value)\.kernel$": (3, 1),
    r"MultiHeadDotProductAttention_\d+\.(query|key|value)\.bias$": (2, 0),
    r"MultiHeadDotProductAttention_\d+\.out\.kernel$": (3, 0),
}


@dataclasses.dataclass(frozen=True)
class Match:
    """How the names of a file compare with those that a naming gives to the leaves of a network.

    Attributes:
      naming: a key of the network's PORTS.
      found: names that are in both. missing: those of leaves without a tensor. left: of tensors without a leaf.
    """

    naming: str
    port: Port
    found: frozenset[str]
    missing: frozenset[str]
    left: frozenset[str]


def ports(network: nn.Module) -> Mapping[str, Port]:
    """The namings of a network's file. Raises PageError where it has none."""
    found = vars(sys.modules[type(network).__module__]).get("PORTS", {})
    if not found:
        raise PageError(f"{type(network).__name__} has no table of names for weights (PORTS)")
    return found


def plain(tensors: Tensors) -> Tensors:
    """Tensors without the prefix of torch's DataParallel, and with the axes of heads joined to the width.

    Raises PageError where two of them are of one name without it.
    """
    joined = {name: _joined(name, x) for name, x in tensors.items()}
    return renamed(joined, lambda name: name.removeprefix("module."))


def _joined(name: str, tensor: np.ndarray) -> np.ndarray:
    ndim, first = next((entry for pattern, entry in HEADS.items() if re.search(pattern, name)), (-1, 0))
    if tensor.ndim != ndim:
        return tensor
    return tensor.reshape(*tensor.shape[:first], -1, *tensor.shape[first + 2 :])


def matches(tensors: Tensors, like: Mapping, namings: Mapping[str, Port]) -> list[Match]:
    """The namings, the best first: that with the most names in common, then with the fewest without a counterpart."""
    found = []
    for naming, port in namings.items():
        try:
            ours = {port.name(path): _shape(port, path, leaf) for path, leaf in flatten_dict(like).items()}.keys()
        except (KeyError, ValueError):  # it numbers the layers, or lays out the kernels, of another variant
            continue
        left = {n for n in tensors.keys() - ours if not any(re.search(p, n) for p in (*IGNORED, *port.ignored))}
        common = ours & tensors.keys()
        found.append(Match(naming, port, frozenset(common), frozenset(ours - common), frozenset(left)))
    return sorted(found, key=lambda match: (-len(match.found), len(match.missing) + len(match.left)))


def recognise(tensors: Tensors, network: nn.Module, like: Mapping, naming: str = "") -> list[Match]:
    """The namings that fit the names of `plain` tensors best and equally well; `naming`: that one alone.

    Raises PageError where not half of the names fit, and for an unknown naming; ModelError where the network has a
    field with which it would compute other numbers from the weights.
    """
    namings = ports(network)
    if naming:
        if naming not in namings:
            raise PageError(f"--naming {naming}{near(naming, namings)}")
        namings = {naming: namings[naming]}
    found = matches(tensors, like, namings)
    best = found[0] if found else None
    if best is None or 2 * len(best.found) < min(len(tensors), len(best.found) + len(best.missing)):
        hint = f"; {best.naming} has {len(best.found)} of the names" if best and best.found else ""
        raise PageError(
            f"the weights are not of {type(network).__name__}, whose namings are {', '.join(namings)}: the file"
            f" has {_some(tensors)}{hint}"
        )
    fitting, refusals = [], []
    for match in (match for match in found if len(match.found) == len(best.found)):
        try:
            match.port.check(network)
            fitting.append(match)
        except ModelError as error:
            refusals.append(error)
    if not fitting:
        raise refusals[0]
    return [match for match in fitting if match.found == fitting[0].found]


def convert(
    tensors: Tensors, network: nn.Module, like: Mapping, partial: bool = False, naming: str = ""
) -> tuple[dict, Match]:
    """(variables as `like` of numpy arrays, the naming) of `plain` tensors.

    Args:
      partial: leave out leaves without a tensor and tensors without a leaf; `found` of the naming has the others.
      naming: a key of the network's PORTS; "": it follows from the names.

    Raises:
      PageError: another network's tensors, or two namings that fit and read them differently. ModelError: a line for
        each name that is missing, has no place or another shape; a field of the network of another value.
    """
    fitting, failures = [], []
    for match in recognise(tensors, network, like, naming):
        wanted, given = flatten_dict(like), tensors
        if partial:
            wanted = {path: leaf for path, leaf in wanted.items() if match.port.name(path) in match.found}
            given = {name: tensors[name] for name in match.found}
        try:
            fitting.append((from_torch(given, unflatten_dict(wanted), match.port), match))
        except ModelError as error:
            failures.append(error)
    if not fitting:
        raise failures[0]
    first, *others = (variables for variables, _ in fitting)
    if any(not _equal(first, other) for other in others):
        names = ", ".join(match.naming for _, match in fitting)
        raise PageError(f"the names fit {names}, which lay out the weights differently: choose one by --naming")
    return fitting[0]


def _equal(a: Mapping, b: Mapping) -> bool:
    b = flatten_dict(b)
    return all(np.array_equal(x, b[path]) for path, x in flatten_dict(a).items())


def shapes(network: nn.Module, *inputs: Any) -> dict:
    """The variables of a network for inputs of these shapes, without computing any."""
    initialise = functools.partial(network.init, train=False)
    return jax.eval_shape(initialise, jax.random.key(0), *(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in inputs))


def count_classes(tensors: Tensors, like: Mapping, more: Mapping, port: Port) -> int | None:
    """The number of classes of the network that has the `plain` tensors; None where no tensor tells it.

    Args:
      like, more: the shapes of the network with 2 classes and with 3.
    """
    more = flatten_dict(more)
    for path, leaf in flatten_dict(like).items():
        small, large = (_shape(port, path, x) for x in (leaf, more[path]))
        tensor = tensors.get(port.name(path))
        if small == large or tensor is None or tensor.ndim != len(small):
            continue
        (axis,) = (i for i in range(len(small)) if small[i] != large[i])
        each = large[axis] - small[axis]
        return (tensor.shape[axis] - small[axis]) // each + 2
    return None


def _shape(port: Port, path: tuple[str, ...], leaf) -> tuple[int, ...]:
    return port.theirs(path, np.broadcast_to(np.int8(0), leaf.shape)).shape


def _some(tensors: Tensors) -> str:
    names = list(tensors)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
