"""A page's own programs, placed as the page says on devices that are not here, from shapes alone."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.interpreters.partial_eval import dce_jaxpr
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from data.errors import one_line
from data.pipeline import EvaluationFeed, examples, in_order
from data.source import blank_source
from experiments.build.parts import Parts
from experiments.errors import PageError
from experiments.evaluation.evaluations import Evaluations
from experiments.rehearse.absent import Shapes, shapes
from experiments.rehearse.devices import Place
from models.counting import jaxpr_macs
from training.parallel import MeshDevices, Replicas

PROGRAMS = ("train", "evaluate", "sample")

Sizes = dict[str, int]  # kind of argument -> bytes on each device


@dataclasses.dataclass(frozen=True)
class Lowerable:
    """A program before it is compiled.

    Attributes:
      placed: the placed function.
      arguments: shapes.
      sizes: what the arguments take on each device.
      images: that one call handles, on all devices.
    """

    placed: Callable
    arguments: tuple[Any, ...]
    sizes: Sizes
    images: int

    def macs(self) -> int | None:
        """Multiply-adds of a call on all devices, by its mathematics; None where they cannot be counted.

        Without products that nothing needs, such as the gradient of the images.
        """
        traced = jax.make_jaxpr(self.placed)(*self.arguments).jaxpr
        needed, _ = dce_jaxpr(traced, [True] * len(traced.outvars))
        try:
            return jaxpr_macs(needed)
        except ValueError:
            return None


class Rehearsal:
    """The programs of a page on the devices of a place.

    This process has as many CPU devices as the place has devices, so that the parts of the page check it as a run on
    the place does. What is asked of jax about the devices is then answered for the place; see `aim`.

    Raises:
      PageError, DataError, TrainingError: one line on what does not fit, as a run raises it.
    """

    def __init__(self, page: ConfigDict, place: Place):
        self.place = place
        devices = list(topology(place).devices) if place.kind.platform != "cpu" else jax.devices()
        self.parts = Parts(page)
        self.parts.devices = moved(self.parts.devices, devices)
        aim(place, devices)
        self.data: Shapes = shapes(self.parts)
        self.parts.frozen = {role: self._frozen(role) for role in page.frozen}

    def program(self, name: str) -> Lowerable:
        """One of PROGRAMS. Raises PageError where the page has none of this name."""
        return {"train": self._train, "evaluate": self._evaluate, "sample": self._sample}[name]()

    def _train(self) -> Lowerable:
        parts, page = self.parts, self.parts.page
        resident, state = self.data.resident("train"), parts.abstract_state
        feed = self._feed(parts.page.train.batch_size, resident, evaluates=False)
        updates = len(parts.task.players) if parts.task.fresh else 1
        calls = page.train.steps_per_call
        lead = (calls,) * (calls > 1) + (updates,) * parts.task.fresh
        feed = jax.tree.map(lambda x: jax.ShapeDtypeStruct((*lead, *x.shape), x.dtype), feed)
        kinds = {
            "parameters": self._state(state.params),
            "statistics": self._state(state.stats),
            "optimizer state": self._state(state.opt_state),
            "moving average": self._state(state.ema),
            "resident data": self._whole(resident),
            "batch": self._rows(feed, len(lead)),
            "frozen networks": self._whole(parts.frozen),
        }
        arguments = (
            self._state(state),
            kinds["resident data"],
            kinds["batch"],
            kinds["frozen networks"],
            self._whole(parts.hyper),
        )
        placed = parts.devices.train_step(parts.step, state)
        return self._made(placed, arguments, kinds, page.train.batch_size * updates * calls)

    def _evaluate(self) -> Lowerable:
        parts = self.parts
        evaluations = Evaluations(parts)
        sets = list(parts.sets)
        if not sets:
            raise PageError("the page evaluates on no set: data.validation and data.test are empty")
        resident, size = self.data.resident(sets[0]), parts.page.train.evaluate_batch_size
        feed = self._feed(size, resident, evaluates=True)
        placed = parts.devices.evaluate_step(evaluations.step(evaluations.measures(())))
        return self._judged(placed, resident, feed, size)

    def _sample(self) -> Lowerable:
        parts, makes = self.parts, self.parts.task.makes
        if makes is None:
            raise PageError(f"task {parts.page.task.name!r} makes nothing")
        number = makes.count or min(parts.page.train.samples, parts.page.train.evaluate_batch_size)
        number = -(-number // jax.device_count()) * jax.device_count()
        batch = parts.example_batch(number)
        required = [name for name, wanted in makes.given.items() if wanted.required]
        condition = {"id": batch["id"], **{name: batch[name] for name in required}}

        def make(params, stats, resident, condition, frozen, key):
            return makes.draw(params, stats, jax.random.wrap_key_data(key), condition, frozen)

        return self._judged(parts.devices.predict_step(make), {}, condition, number)

    def _judged(self, placed: Callable, resident, feed, size: int) -> Lowerable:
        """A program of (params, stats, resident, feed, frozen, key), with the parameters that are evaluated."""
        parts, state = self.parts, self.parts.abstract_state
        kinds = {
            "parameters": self._state({**state.params, **state.ema}),
            "statistics": self._state(state.stats),
            "resident data": self._whole(resident),
            "batch": self._rows(feed, 0),
            "frozen networks": self._whole(parts.frozen),
        }
        arguments = (*kinds.values(), self._whole(parts.root_key))
        return self._made(placed, arguments, kinds, size)

    def _made(self, placed, arguments, kinds: Mapping[str, Any], images: int) -> Lowerable:
        sizes = {kind: sum(map(self._bytes, jax.tree.leaves(tree))) for kind, tree in kinds.items()}
        return Lowerable(placed, arguments, {kind: size for kind, size in sizes.items() if size}, images)

    def _feed(self, size: int, resident: Mapping[str, Any], evaluates: bool) -> dict[str, jax.ShapeDtypeStruct]:
        """The shapes of what the host hands over for one batch: those of the feeds of data.pipeline."""
        source, held = blank_source(self.data.info), bool(resident)
        if evaluates:
            one = EvaluationFeed(source, 1, resident=held)[0]
        else:  # whatever the sampler
            ids = in_order(source, np.arange(1))
            uses = {f"use{name.removeprefix('id')}": x for name, x in ids.items()}
            numbers = {name: x.astype(np.int32) for name, x in {**ids, **uses}.items()}
            one = {**({} if held else examples(source, ids)), **numbers}
        return {name: jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype) for name, x in one.items()}

    def _frozen(self, role: str):
        """Shapes: the weights need not be here."""
        network, image = self.parts.networks[role], self.parts.example_batch()["image"][:1]
        return jax.eval_shape(functools.partial(network.init, train=False), jax.random.key(0), image)

    # How the placements of training.parallel put arrays, as shapes.

    def _state(self, tree):
        devices = self.parts.devices
        if isinstance(devices, Replicas):
            return self._whole(tree)
        return jax.tree.map(lambda x: _shape(x, NamedSharding(devices.mesh, devices._spec(x))), tree)

    def _whole(self, tree):
        devices = self.parts.devices
        if isinstance(devices, Replicas):
            lead = lambda x: jax.ShapeDtypeStruct((self.place.count, *x.shape), x.dtype)
            return jax.tree.map(lambda x: lead(_shape(x)), tree)
        return jax.tree.map(lambda x: _shape(x, NamedSharding(devices.mesh, PartitionSpec())), tree)

    def _rows(self, tree, lead: int):
        devices, n = self.parts.devices, self.place.count
        if isinstance(devices, Replicas):
            split = lambda shape: (n, *shape[:lead], shape[lead] // n, *shape[lead + 1 :])
            return jax.tree.map(lambda x: jax.ShapeDtypeStruct(split(x.shape), x.dtype), tree)
        spec = PartitionSpec(*[None] * lead, ("data", "fsdp"))
        return jax.tree.map(lambda x: _shape(x, NamedSharding(devices.mesh, spec)), tree)

    def _bytes(self, x) -> int:
        """What a placed argument takes on each device."""
        size = math.prod(x.shape) * x.dtype.itemsize
        if isinstance(self.parts.devices, Replicas):
            return size // self.place.count
        return math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize


def topology(place: Place):
    """The devices of a place, as XLA describes them. Raises PageError for those that it does not have."""
    try:
        if place.kind.platform == "gpu":
            return topologies.get_topology_desc(
                place.kind.name, "cuda", target_config=place.target, topology=place.topology
            )
        core = {"chip_config_name": "megacore"} if place.key in ("v4", "v5p") else {}  # one device, not two, on a chip
        if place.count == 1:
            core["chips_per_host_bounds"] = (1, 1, 1)
        return topologies.get_topology_desc(platform="tpu", topology_name=place.topology, **core)
    except Exception as error:  # of a plugin: which exception is not its contract
        reason = one_line(str(error)).removeprefix("INVALID_ARGUMENT: ")
        raise PageError(f"--on {place.text}: XLA has no such devices: {reason}") from error


def moved(placement: Replicas | MeshDevices, devices: list) -> Replicas | MeshDevices:
    """The same placement on other devices, of equal number."""
    if isinstance(placement, Replicas):
        return placement
    mesh = placement.mesh
    axes = dict(axis_types=(AxisType.Auto,) * mesh.devices.ndim, devices=devices)
    return dataclasses.replace(placement, mesh=jax.make_mesh(mesh.devices.shape, mesh.axis_names, **axes))


_pmap = jax.pmap


def aim(place: Place, devices: list) -> None:
    """Lets `jax.pmap` compile for `devices`, and `jax.default_backend` answer as on the place, in this process."""
    jax.pmap = functools.partial(_pmap, devices=devices)
    jax.default_backend = lambda: place.kind.platform


def _shape(x, sharding: NamedSharding | None = None) -> jax.ShapeDtypeStruct:
    x = x if isinstance(x, jax.ShapeDtypeStruct) else np.asarray(x)
    return jax.ShapeDtypeStruct(x.shape, jax.dtypes.canonicalize_dtype(x.dtype), sharding=sharding)
