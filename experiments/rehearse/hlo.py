"""What a compiled program does, read off its text: products, collectives, bytes that its kernels move.

The text is that of `compiled.as_text()`: the program of one device, after partitioning, fusion and scheduling.
"""

import collections
import dataclasses
import functools
import math
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_OTHER_NAMES = {"ragged-all-to-all": "all-to-all", "collective-broadcast": "collective-permute"}

# Instructions that name, select or wait for arrays: none of them is a kernel.
_FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call"),
    *("after-all", "partition-id", "replica-id", "iota", "opt-barrier"),
}
_BITS = re.compile(r"(?:s|u|f|bf|c)(\d+)")


@dataclasses.dataclass(frozen=True)
class Array:
    """An operand or a result; `space` is 0 for the memory of the device, more for memory on the chip."""

    type: str
    shape: tuple[int, ...]
    space: int = 0

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        if self.type == "pred":
            return self.size
        bits = _BITS.match(self.type)
        return -(-self.size * int(bits[1]) // 8) if bits else 0  # tokens have no size


@dataclasses.dataclass(frozen=True)
class Instruction:
    name: str
    op: str
    results: tuple[Array, ...]
    operands: tuple[str, ...]
    text: str  # attributes, behind the operands

    def attribute(self, name: str) -> str | None:
        """The word behind `name=`."""
        found = re.search(rf"\b{name}=(%?[\w.\-]+)", self.text)
        return found and found[1].lstrip("%")

    def numbers(self, name: str) -> list[int]:
        """The numbers in `name={1,2}`."""
        found = re.search(rf"\b{name}=\{{([\d,]*)\}}", self.text)
        return [int(x) for x in found[1].split(",") if x] if found else []


@dataclasses.dataclass(frozen=True)
class Collective:
    """One that a device takes part in.

    Attributes:
      kind: one of COLLECTIVES.
      bytes: of a device: what it gives to a sum, a scatter, an exchange or a neighbour; what it has after a gather.
      group: the devices that take part, by their places in the program; () where every one sends to one other.
      times: in one call of the program.
    """

    kind: str
    bytes: int
    group: tuple[int, ...]
    times: int


@dataclasses.dataclass(frozen=True)
class Program:
    """What a program does in one call, on each device.

    Attributes:
      macs: multiply-adds by the type of the factors, as `models.counting` counts them: those of padding too.
      valid_macs: without those of padding, as XLA's own analysis counts.
      traffic: bytes that kernels read and write in the device's memory, beyond what `cache` may keep of each array.
      kernels: number of fusions, copies, transposes, …, by name.
      unknown: calls of libraries whose products are not counted, by name.
      endless: loops of unknown length with products in them, which are counted once.
    """

    macs: dict[str, int]
    valid_macs: dict[str, int]
    traffic: int
    collectives: tuple[Collective, ...]
    kernels: dict[str, int]
    unknown: dict[str, int]
    endless: int

    def by_kind(self) -> dict[str, dict[str, int]]:
        """kind -> {"count": calls, "bytes": of all calls}."""
        found: dict[str, dict[str, int]] = {}
        for one in self.collectives:
            entry = found.setdefault(one.kind, {"count": 0, "bytes": 0})
            entry["count"] += one.times
            entry["bytes"] += one.times * one.bytes
        return {kind: found[kind] for kind in COLLECTIVES if kind in found}


Computations = dict[str, dict[str, Instruction]]


def read(text: str, devices: int, cache: int = 0) -> Program:
    """Reads the text of a compiled program for `devices` devices."""
    computations, entry = _parse(text)
    return _Reader(computations, devices, cache).read(entry)


class _Reader:
    def __init__(self, computations: Computations, devices: int, cache: int):
        self.computations, self.devices, self.cache = computations, devices, cache
        self.macs, self.valid = collections.Counter(), collections.Counter()
        self.kernels, self.unknown = collections.Counter(), collections.Counter()
        self.collectives: dict[object, Collective] = {}
        self.traffic = self.endless = 0

    def read(self, entry: str) -> Program:
        self._visit(entry, 1, fused=False)
        nonzero = lambda counter: {key: count for key, count in counter.items() if count}
        return Program(
            nonzero(self.macs),
            nonzero(self.valid),
            self.traffic,
            tuple(self.collectives.values()),
            dict(self.kernels),
            dict(self.unknown),
            self.endless,
        )

    def _visit(self, name: str, times: int, fused: bool, of: str = "") -> None:
        """Adds what the computation `name` does, `times` times; `of` is the fusion whose body it is."""
        own = self.computations[name]
        for one in own.values():
            kind = _collective(one.op)
            if kind:
                self._add_collective(one, own, "reduce-scatter" if _scatters(kind, of) else kind, times, fused)
            elif one.op in ("dot", "convolution", "custom-call"):
                self._add_products(one, own, times)
            if not fused and one.op not in _FREE and not one.op.endswith(("-done", "-update")):
                self.kernels[one.op.removesuffix("-start")] += times
                self.traffic += times * self._moved(one, own)
            self._enter(one, times, fused)

    def _enter(self, one: Instruction, times: int, fused: bool) -> None:
        if one.op == "while":
            length = re.search(r'"known_trip_count":\{"n":"(\d+)"', one.text)
            before = sum(self.macs.values())
            self._visit(one.attribute("body"), times * int(length[1]) if length else times, fused)
            self.endless += not length and sum(self.macs.values()) > before
        elif one.op == "conditional":
            self._enter_dearest(one, times, fused)
        elif one.op == "fusion":
            self._visit(one.attribute("calls"), times, True, one.attribute("calls"))
        elif one.op in ("call", "async-start"):
            self._visit(one.attribute("to_apply") or one.attribute("calls"), times, fused or one.op == "async-start")

    def _enter_dearest(self, one: Instruction, times: int, fused: bool) -> None:
        """Of the branches of a conditional the one with the most products counts."""
        branches = re.search(r"branch_computations=\{([^}]*)\}", one.text)
        names = branches[1].split(",") if branches else re.findall(r"(?:true|false)_computation=(%?[\w.\-]+)", one.text)
        names = [name.strip().lstrip("%") for name in names]
        products = lambda name: sum(_Reader(self.computations, self.devices, 0).read(name).macs.values())
        self._visit(max(names, key=products), times, fused)

    # Products.

    def _add_products(self, one: Instruction, own: dict[str, Instruction], times: int) -> None:
        if one.op == "custom-call":
            target = re.search(r'custom_call_target="([^"]*)"', one.text)[1]
            if not target.startswith(("__cublas", "__cudnn", "__onednn")):
                return
            found = _library_macs(target, one, own)
            if found is None:
                self.unknown[target] += times
                return
        else:
            left, right = (_array(own[name]) for name in one.operands[:2])
            if one.op == "dot":
                contracted = math.prod(left.shape[i] for i in one.numbers("lhs_contracting_dims"))
                found = (one.results[0].size * contracted,) * 2
            else:
                found = _conv_macs(one, left, right, one.results[0])
        factors = _array(own[one.operands[0]]).type
        self.macs[factors] += times * found[0]
        self.valid[factors] += times * found[1]

    # Collectives.

    def _add_collective(
        self, one: Instruction, own: dict[str, Instruction], kind: str, times: int, fused: bool
    ) -> None:
        given = sum(array.bytes for name in one.operands for array in own[name].results)
        group = () if kind == "collective-permute" else _group(one.text, self.devices)
        if kind == "all-gather":
            given *= len(group)
        # XLA spreads one collective over several fusions. Each fusion has the collective's instruction and channel.
        place = one.attribute("channel_id") if fused else None
        self.collectives[place or len(self.collectives)] = Collective(kind, given, group, times)

    # Memory.

    def _moved(self, one: Instruction, own: dict[str, Instruction]) -> int:
        body = self.computations.get(one.attribute("calls") or "", {}) if one.op == "fusion" else {}
        read = [self._read(one, i, own[name], body) for i, name in enumerate(one.operands)]
        return sum(read) + self._written(one, own, body)

    def _read(self, one: Instruction, i: int, operand: Instruction, body: dict[str, Instruction]) -> int:
        if operand.op == "constant":
            return 0
        whole = sum(self._beyond_cache(array) for array in operand.results)
        if one.op.removesuffix("-start") in ("dynamic-slice", "slice", "gather") and i == 0:
            return min(whole, sum(array.bytes for array in _made(one, [operand])))
        if one.op in ("dynamic-update-slice", "scatter") and i == 0:
            return 0
        users = list(_users(body, i))
        if users and all(user.op in ("dynamic-slice", "slice", "gather") for user in users):
            return min(whole, sum(array.bytes for user in users for array in user.results))
        if users and all(user.op in ("dynamic-update-slice", "scatter") for user in users):
            return 0
        return whole

    def _written(self, one: Instruction, own: dict[str, Instruction], body: dict[str, Instruction]) -> int:
        whole = sum(self._beyond_cache(array) for array in _made(one, [own[name] for name in one.operands]))
        updates = [x for x in body.values() if x.op == "dynamic-update-slice"]
        if one.op == "dynamic-update-slice":
            return min(whole, sum(array.bytes for array in own[one.operands[1]].results))
        if updates and len(updates) >= len(one.results):  # in place
            return min(whole, sum(array.bytes for x in updates for array in body[x.operands[1]].results))
        return whole

    def _beyond_cache(self, array: Array) -> int:
        return max(array.bytes - self.cache, 0) if array.space == 0 else 0


def _made(one: Instruction, operands: Iterable[Instruction]) -> list[Array]:
    """The results that an instruction writes: not its operands, which it may name too, nor a library's scratch."""
    if one.op == "custom-call":
        return list(one.results[:1])
    found = list(one.results)
    if one.op.endswith("-start") and one.op != "all-reduce-start":
        for array in (array for operand in operands for array in operand.results):
            found.remove(array) if array in found else None
    return found


def _collective(op: str) -> str | None:
    """The kind of collective that an instruction is, or begins."""
    name = op.removesuffix("-start")
    name = _OTHER_NAMES.get(name, name)
    return name if name in COLLECTIVES else None


def _scatters(kind: str, fusion: str) -> bool:
    """Whether a sum in this fusion is cut up at once, as XLA's TPU backend writes a reduce-scatter."""
    return kind == "all-reduce" and fusion.startswith("all-reduce-scatter")


def _users(body: dict[str, Instruction], i: int) -> Iterator[Instruction]:
    """The instructions in a fusion that use its parameter i."""
    names = [x.name for x in body.values() if x.op == "parameter" and x.operands == (str(i),)]
    return (x for x in body.values() if any(name in x.operands for name in names))


def _array(one: Instruction) -> Array:
    return one.results[0] if one.results else Array("", ())


# Products.


def _library_macs(target: str, one: Instruction, own: dict[str, Instruction]) -> tuple[int, int] | None:
    """(with padding, without) of a product or convolution that a library computes; None for anything else."""
    first, second = (_array(own[name]) for name in one.operands[:2])
    result = one.results[0]
    if "dim_labels" in one.text:
        if "BackwardInput" in target:  # of the gradient and the kernel
            return _conv_macs(one, result, second, first)
        if "BackwardFilter" in target:  # of the image and the gradient
            return _conv_macs(one, first, result, second)
        return _conv_macs(one, first, second, result)
    dims = re.search(r'"lhs_contracting_dimensions":\[([^\]]*)\]', one.text)
    if not dims:
        return None
    return (result.size * math.prod(first.shape[int(i)] for i in re.findall(r"\d+", dims[1])),) * 2


def _conv_macs(one: Instruction, image: Array, kernel: Array, out: Array) -> tuple[int, int]:
    """Multiply-adds (with those of padding, without) of a convolution of `image` with `kernel` that gives `out`.

    Holes of a dilated image are never multiplied.
    """
    labels = re.search(r"dim_labels=([\w?]+)_([\w?]+)->([\w?]+)", one.text)
    of_image, of_kernel, of_out = ({label: i for i, label in enumerate(word)} for word in labels.groups())
    spatial = [label for label in of_kernel if label.isdigit()]
    found = re.search(r"window=\{([^}]*)\}", one.text)
    window = dict(re.findall(r"(\w+)=([\w\-]+)", found[1])) if found else {}
    each = lambda name, default: window[name].split("x") if name in window else [default] * len(spatial)
    settings = zip(
        spatial, each("stride", "1"), each("pad", "0_0"), each("lhs_dilate", "1"), each("rhs_dilate", "1"), strict=True
    )
    channels = kernel.shape[of_kernel["i"]] * kernel.shape[of_kernel["o"]]
    padded = valid = out.shape[of_out["b"]] * channels
    for label, stride, pad, of_holes, apart in settings:
        size, taps, places = image.shape[of_image[label]], kernel.shape[of_kernel[label]], out.shape[of_out[label]]
        low, holes = int(pad.split("_")[0]), int(of_holes)
        everywhere, inside = _pairs(size, taps, places, int(stride), low, holes, int(apart))
        padded, valid = padded * everywhere, valid * inside
    return padded, valid


@functools.cache
def _pairs(size: int, taps: int, places: int, stride: int, low: int, holes: int, apart: int) -> tuple[int, int]:
    """(all, inside the image): pairs of a place of the result and a tap of the kernel that meet a pixel, on one axis.

    Args:
      holes: the distance of the pixels of a dilated image, apart: that of the taps.
    """
    at = np.arange(places)[:, None] * stride + np.arange(taps)[None] * apart - low
    pixel = at % holes == 0
    return int(pixel.sum()), int((pixel & (at >= 0) & (at <= (size - 1) * holes)).sum())


# Groups of devices.


def _group(text: str, devices: int) -> tuple[int, ...]:
    """The first of the groups of devices that take part together."""
    if found := re.search(r"replica_groups=\{\{([\d,]*)\}", text):
        return tuple(int(x) for x in found[1].split(",") if x)
    if found := re.search(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", text):
        groups, order = _ints(found[1]), np.arange(devices).reshape(_ints(found[2]))
        order = order.transpose(_ints(found[3])) if found[3] else order
        return tuple(map(int, order.reshape(groups)[0]))
    if found := re.search(r"replica_groups=mesh\[([^\]]*)\](.*?)\{([^}]*)\}", text):
        axes = {name: int(size) for name, size in re.findall(r"'([^']+)'=(\d+)", found[1])}
        order = _mesh_order(found[2], devices).reshape(tuple(axes.values()))
        chosen = re.findall(r"'([^']+)'", found[3])
        order = np.moveaxis(order, [list(axes).index(name) for name in chosen], range(-len(chosen), 0))
        return tuple(map(int, order.reshape(-1, math.prod(axes[name] for name in chosen))[0]))
    return tuple(range(devices))


def _mesh_order(text: str, devices: int) -> np.ndarray:
    """The devices of a mesh, in its order: `device_ids=(0,2,1,3)` or `device_ids=([2,2]T(1,0))`; else by number."""
    if found := re.search(r"device_ids=\(([\d,]+)\)", text):
        return np.array(_ints(found[1]))
    if found := re.search(r"device_ids=\(\[([\d,]+)\](?:T\(([\d,]+)\))?", text):
        order = np.arange(devices).reshape(_ints(found[1]))
        return (order.transpose(_ints(found[2])) if found[2] else order).ravel()
    return np.arange(devices)


def _ints(text: str) -> list[int]:
    return [int(x) for x in text.split(",")]


# The text.


def _parse(text: str) -> tuple[Computations, str]:
    """computation -> name -> instruction; and the name of the entry."""
    computations: Computations = {}
    entry, own = "", None
    for line in text.splitlines():
        head = re.match(r"(ENTRY )?%?([\w.\-]+) (?:\(.*\) -> .*)?\{$", line)
        if head and (head[1] or " -> " in line):
            own = computations.setdefault(head[2], {})
            entry = head[2] if head[1] else entry
        elif line.startswith("}"):
            own = None
        elif own is not None and (one := _instruction(line)):
            own[one.name] = one
    return computations, entry


def _instruction(line: str) -> Instruction | None:
    found = re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = ", line)
    if not found:
        return None
    rest = line[found.end() :]
    end = _closing(rest) if rest.startswith("(") else rest.find(" ")
    results, rest = rest[:end], rest[end:].lstrip()
    opening = rest.find("(")
    closing = opening + _closing(rest[opening:])
    operands = _operands(rest[opening + 1 : closing - 1])
    return Instruction(found[1], rest[:opening], tuple(_arrays(results)), operands, rest[closing:])


def _closing(text: str) -> int:
    """The place behind the bracket that closes the first one."""
    depth = 0
    for place, mark in enumerate(text):
        depth += (mark == "(") - (mark == ")")
        if depth == 0:
            return place + 1
    return len(text)


def _operands(text: str) -> tuple[str, ...]:
    """Names, without the comments and types before them."""
    named = re.findall(r"%([\w.\-]+)", text)
    return tuple(named or [word for word in re.split(r"[,\s]+", text) if word])


def _arrays(text: str) -> Iterable[Array]:
    for type_, shape, layout in re.findall(r"([a-z]\w*)\[([\d,]*)\](\{[^}]*\})?", text):
        space = re.search(r"S\((\d+)\)", layout)
        yield Array(type_, tuple(int(x) for x in shape.split(",") if x), int(space[1]) if space else 0)


def group_hosts(group: Sequence[int], per_host: int) -> int:
    """The number of hosts on which the devices of a group are."""
    return len({device // per_host for device in group})
