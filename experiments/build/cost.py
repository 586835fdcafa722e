"""The cost of a page's networks, from shapes alone: parameters, multiply-adds, memory."""

import dataclasses
import functools
import inspect
import math
import re
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend.core import Var
from ml_collections import ConfigDict

from data.source import blank_source
from data.tfds_source import describe
from experiments.build.parts import Parts
from experiments.pages.overrides import override
from models.counting import count_macs
from training.checkpoint import leaves


def outline(page: ConfigDict) -> Parts:
    """The parts of a page under a mesh, where a step is one function of whole arrays.

    For a data set of TFDS only its description is read.
    """
    parts = Parts(override(page, [("devices.kind", "mesh")]))
    kind, _, argument = page.data.name.partition(":")
    if kind == "tfds":
        options = {name: page.data[name] for name in list(inspect.signature(describe).parameters)[1:]}
        info = dataclasses.replace(describe(argument, **options), classes_of=page.data.classes_of)
        parts.source = lambda role: blank_source(info)
    return parts


def layers(parts: Parts) -> dict[str, dict[str, tuple[int, ...]]]:
    """layer -> parameter -> shape; a layer is the path of a module."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    params = parts.abstract_state.params
    params = params["model"] if list(params) == ["model"] else params
    for path, leaf in leaves(params).items():
        layer, _, name = path.rpartition("/")
        found.setdefault(layer, {})[name] = leaf.shape
    natural = lambda layer: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", layer)]
    return {layer: found[layer] for layer in sorted(found, key=natural)}  # block_2 before block_10


def macs(parts: Parts) -> int:
    """Multiply-adds of one example's loss, forward, of each player and all together.

    Raises ValueError where they cannot be counted.
    """
    state, frozen = parts.abstract_state, parts.frozen
    arguments = state.params, state.stats, _batch(parts, 1), _key(), frozen, parts.hyper
    return sum(count_macs(functools.partial(parts.task.loss, player), *arguments) for player in parts.task.names)


def memory(parts: Parts) -> dict[str, int]:
    """Bytes that each device holds at the height of a step.

    The state is exact. The activations are what differentiation keeps of the forward pass, which the compiler can
    only lessen (by fusing); what one operation needs while it runs comes on top. Of ResNet-20 at batch 128 XLA's
    CPU backend allocates 289 MiB where this says 389.
    """
    page, state = parts.page.train, parts.abstract_state
    here = lambda x: math.prod(parts.devices.shard_shape(x)) * x.dtype.itemsize
    size = lambda tree: sum(map(here, jax.tree.leaves(tree)))
    batch = _batch(parts, max(page.batch_size // jax.device_count() // page.accumulate, 1))
    frozen = parts.frozen
    return {
        "parameters": size(state.params),
        "statistics": size(state.stats),
        "gradients": max(size(state.params[player]) for player in parts.task.names),
        "optimizer state": size(state.opt_state),
        "moving average": size(state.ema),
        "frozen networks": sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(frozen)),
        "batch": sum(x.size * x.dtype.itemsize for x in batch.values()) * page.accumulate,
        "activations": max(_kept(parts, player, state, batch, frozen) for player in parts.task.names),
    }


def with_remat(page: ConfigDict) -> ConfigDict | None:
    """The page with remat in every network that can; None where none can, or all do."""
    keys = [path for path, value in _flat(page.model, "model") if path.endswith(".remat") and not value]
    return override(page, [(key, "true") for key in keys]) if keys else None


def _flat(section: ConfigDict, path: str) -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, ConfigDict):
            yield from _flat(value, f"{path}.{key}")
        else:
            yield f"{path}.{key}", value


def _kept(parts: Parts, player: str, state, batch, frozen) -> int:
    """Bytes of residuals saved for the backward pass."""

    def backward(params, stats, batch, key, frozen, hyper):
        loss = lambda own: parts.task.loss(player, {**params, player: own}, stats, batch, key, frozen, hyper)[0]
        return jax.vjp(loss, params[player])[1]

    arguments = state.params, state.stats, batch, _key(), frozen, parts.hyper
    jaxpr = jax.make_jaxpr(backward)(*arguments).jaxpr
    kept = {v for v in jaxpr.outvars if isinstance(v, Var)} - {*jaxpr.invars, *jaxpr.constvars}
    return sum(v.aval.size * v.aval.dtype.itemsize for v in kept)


def _batch(parts: Parts, size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a batch as the network sees it."""
    return {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in parts.example_batch(size).items()}


def _key() -> Any:
    return jax.eval_shape(functools.partial(jax.random.key, 0))
