"""Weights from torch and to torch: a state_dict by its names, as the variables of a flax network. Numpy alone.

    like = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)
    variables = from_torch(state_dict, like, resnet.PORTS["torchvision"])
    state_dict = to_torch(variables, resnet.PORTS["torchvision"])

A `Port` maps every leaf of our network to a tensor of theirs, so one table serves both ways. Each network's file has a
table PORTS of them, by the library whose names they are. Without any rule the leaf layer1/conv/kernel is the tensor
layer1.conv.weight.
"""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from models.errors import ModelError

# Our leaf -> torch's tensor, where the two differ.
LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "mean": "running_mean", "var": "running_var"}
IGNORED = (r"(^|\.)num_batches_tracked$",)


@dataclasses.dataclass(frozen=True)
class Slice:
    """Part `index` of `of` equal parts of a tensor along its first axis, such as the query of a fused "qkv"."""

    index: int
    of: int


@dataclasses.dataclass(frozen=True)
class Port:
    """How leaves of ours are called and laid out in another library. Keys are regular expressions, searched for.

    A path of ours is "block0/attention/query/kernel", without the collection.

    Attributes:
      names: expression -> replacement, applied in order to our path with the leaf renamed by LEAVES
        ("block0/attention/query/weight"). "/" becomes "." at the end.
      slices: expression on our path -> the part of their tensor that the leaf is.
      layouts: expression on our path -> the axes of their tensor in the order in which ours has them. Otherwise a
        kernel [*space, in, out] is their [out, in, *space] and other leaves are equal. (A transposed convolution's
        [*space, out, in], which linen reads with transpose_kernel=True, is thereby their [in, out, *space].)
      flattened: expression on our path -> (H, W) of the map that a dense layer reads flattened. torch flattens the
        channels first, so the inputs of its kernel are in another order.
      ignored: expressions on names of theirs that have no leaf here, besides IGNORED.
      fields: field of our network -> its value in the other library, where names and shapes do not tell it apart from
        other values: padding="symmetric".
    """

    names: Mapping[str, str | Callable[[re.Match], str]] = dataclasses.field(default_factory=dict)
    slices: Mapping[str, Slice] = dataclasses.field(default_factory=dict)
    layouts: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    flattened: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def check(self, network: Any) -> None:
        """Raises ModelError where the network would compute other numbers from these weights than their library."""
        for name, value in self.fields.items():
            if (found := vars(network)[name]) != value:
                raise ModelError(f"weights of this naming are of a network with {name}={value!r}, not {found!r}")

    def name(self, path: tuple[str, ...]) -> str:
        """The name of their tensor for our leaf ("params", "conv1", "kernel")."""
        _, *modules, leaf = path
        name = "/".join([*modules, LEAVES.get(leaf, leaf)])
        for expression, replacement in self.names.items():
            name = re.sub(expression, replacement, name)
        return name.replace("/", ".")

    def slice(self, path: tuple[str, ...]) -> Slice:
        return _matching(self.slices, path) or Slice(0, 1)

    def ours(self, path: tuple[str, ...], array: np.ndarray) -> np.ndarray:
        """Their tensor, or part of one, in our layout."""
        array = array.transpose(self._axes(path, array.ndim))
        if array.ndim == 2 and (size := _matching(self.flattened, path)):
            array = array.reshape(-1, *size, array.shape[1]).transpose(1, 2, 0, 3).reshape(array.shape)
        return array

    def theirs(self, path: tuple[str, ...], array: np.ndarray) -> np.ndarray:
        """A leaf of ours in their layout: the inverse of `ours`."""
        if array.ndim == 2 and (size := _matching(self.flattened, path)):
            array = array.reshape(*size, -1, array.shape[1]).transpose(2, 0, 1, 3).reshape(array.shape)
        return array.transpose(np.argsort(self._axes(path, array.ndim)))

    def _axes(self, path, ndim):
        """The axes of their tensor in our order."""
        if axes := _matching(self.layouts, path):
            return axes
        return (*range(2, ndim), 1, 0) if path[-1] == "kernel" and ndim > 1 else tuple(range(ndim))


@dataclasses.dataclass(frozen=True)
class BlueFirst(Port):
    """A port of a network whose images have the channels blue, green, red, as OpenCV reads them; ours have red first.

    Attributes:
      first: expression on our path of the kernels that read the image, whose input channels are turned round.
    """

    first: str = r"(?!)"

    def ours(self, path, array):
        array = super().ours(path, array)
        return array[..., ::-1, :] if re.search(self.first, "/".join(path[1:])) else array

    def theirs(self, path, array):
        return super().theirs(path, array[..., ::-1, :] if re.search(self.first, "/".join(path[1:])) else array)


def from_torch(tensors: Mapping[str, np.ndarray], like: Mapping, port: Port = Port()) -> dict:
    """Numpy variables of the structure, shapes and types of `like`.

    Raises ModelError, with one line for each tensor that is missing, has another shape or has no leaf.
    """
    tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}  # DataParallel's prefix
    found, missing, misshaped = {}, {}, {}
    for path, leaf in flatten_dict(like).items():
        name, part = port.name(path), port.slice(path)
        if name not in tensors:
            missing[name] = f"no tensor {name} for {'/'.join(path[1:])}"
            continue
        tensor = np.asarray(tensors[name])
        rows, *rest = port.theirs(path, np.broadcast_to(np.int8(0), leaf.shape)).shape or (1,)
        shape = (rows * part.of, *rest) if leaf.shape else ()
        if tensor.shape != shape:
            misshaped[name] = f"{name} is {tensor.shape}, but {'/'.join(path[1:])} needs {shape}"
            continue
        if part.of > 1:
            tensor = tensor[part.index * rows : (part.index + 1) * rows]
        found[path] = port.ours(path, tensor).astype(leaf.dtype)
    left = sorted(tensors.keys() - {port.name(path) for path in flatten_dict(like)})
    left = [name for name in left if not any(re.search(pattern, name) for pattern in (*IGNORED, *port.ignored))]
    if wrong := [*misshaped.values(), *(f"no place for {name}" for name in left), *missing.values()]:
        raise ModelError("\n".join(wrong))
    return unflatten_dict(found)


def to_torch(variables: Mapping, port: Port = Port()) -> dict[str, np.ndarray]:
    """Tensors by the other library's names: the inverse of `from_torch`. Tensors that the port ignores are left out.

    `variables` may be a part of those of a network, such as its gradients, in which no fused tensor is incomplete.
    """
    parts = defaultdict(dict)
    for path, leaf in flatten_dict(variables).items():
        name, part = port.name(path), port.slice(path)
        if part.index in parts[name]:
            raise ModelError(f"{'/'.join(path[1:])} is the tensor {name}, which another leaf is too")
        parts[name][part.index] = (part.of, port.theirs(path, np.asarray(leaf)))
    tensors = {}
    for name, numbered in parts.items():
        (of, first), *_ = numbered.values()
        if len(numbered) != of:
            raise ModelError(f"{name} has {of} parts, but there are leaves for {len(numbered)}")
        tensors[name] = first if of == 1 else np.concatenate([numbered[i][1] for i in range(of)])
    return tensors


def _matching(table, path):
    """The value of the first expression that our path matches, or None."""
    name = "/".join(path[1:])
    return next((value for expression, value in table.items() if re.search(expression, name)), None)
