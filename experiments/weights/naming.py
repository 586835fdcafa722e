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

from experiments.errors import PageError
from experiments.weights.reading import Tensors
from models.errors import ModelError
from models.port import IGNORED, Port, from_torch

# Tensors that another layout has with an axis for the heads: (name, axes that are joined).
HEADS = {
    r"MultiHeadDotProductAttention_\d+\.(query|key|value)\.kernel$": (1, 2),
    r"MultiHeadDotProductAttention_\d+\.(query|key|value)\.bias$": (0, 1),
    r"MultiHeadDotProductAttention_\d+\.out\.kernel$": (0, 1),
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
    """Tensors without the prefix of torch's DataParallel, and with the axes of heads joined to the width."""
    return {name.removeprefix("module."): _joined(name, x) for name, x in tensors.items()}


def _joined(name: str, tensor: np.ndarray) -> np.ndarray:
    axes = next((axes for pattern, axes in HEADS.items() if re.search(pattern, name)), None)
    if axes is None or tensor.ndim <= axes[1]:
        return tensor
    first, last = axes
    return tensor.reshape(*tensor.shape[:first], -1, *tensor.shape[last + 1 :])


def matches(tensors: Tensors, like: Mapping, namings: Mapping[str, Port]) -> list[Match]:
    """The namings, the best first: that with the most names in common, then with the fewest without a counterpart."""
    found = []
    for naming, port in namings.items():
        try:
            ours = {port.name(path) for path in flatten_dict(like)}
        except KeyError:  # it numbers the layers of another variant
            continue
        left = {n for n in tensors.keys() - ours if not any(re.search(p, n) for p in (*IGNORED, *port.ignored))}
        common = ours & tensors.keys()
        found.append(Match(naming, port, frozenset(common), frozenset(ours - common), frozenset(left)))
    return sorted(found, key=lambda match: (-len(match.found), len(match.missing) + len(match.left)))


def recognise(tensors: Tensors, network: nn.Module, like: Mapping) -> Match:
    """The naming of `plain` tensors that fits the network best. Raises PageError where not half of the names do."""
    found = matches(tensors, like, ports(network))
    if not found or 2 * len(found[0].found) < min(len(tensors), len(found[0].found) + len(found[0].missing)):
        best = f"; {found[0].naming} has {len(found[0].found)} of the names" if found and found[0].found else ""
        raise PageError(
            f"the weights are not of {type(network).__name__}, whose namings are {', '.join(ports(network))}: the file"
            f" has {_some(tensors)}{best}"
        )
    return found[0]


def convert(tensors: Tensors, network: nn.Module, like: Mapping, partial: bool = False) -> tuple[dict, Match]:
    """(variables as `like` of numpy arrays, the naming) of `plain` tensors.

    Args:
      partial: leave out leaves without a tensor and tensors without a leaf; `found` of the naming has the others.

    Raises:
      PageError: another network's tensors. ModelError: a line for each name that is missing, has no place or another
        shape.
    """
    best = recognise(tensors, network, like)
    if partial:
        kept = {path: leaf for path, leaf in flatten_dict(like).items() if best.port.name(path) in best.found}
        return from_torch({name: tensors[name] for name in best.found}, unflatten_dict(kept), best.port), best
    failure = None
    for match in matches(tensors, like, ports(network)):  # two namings may differ in layout alone
        if match.found != best.found:
            break
        try:
            return from_torch(tensors, like, match.port), match
        except ModelError as error:
            failure = failure or error
    raise failure


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
