"""Where arrays live and how the step is placed: `pmap` over replicas, or `jit` over a (data, fsdp) mesh.

The step itself is written once. Both placements have the same methods, so nothing else asks which one is in use. On the
host a state is always a plain pytree of numpy arrays, which is what checkpoints hold: a run can be resumed with any
number of devices, under either placement.

A loss over pairs or triplets needs the global batch. Under `pmap` it sees the rows of one device, so a task takes the
placement's `gather` and sums over its own rows as anchors, against the gathered ones:

    def loss(player, params, stats, batch, key, frozen, hyper):
        x, ids = embed(params, batch["image"]), batch["id"]                  # [b, D], [b]: rows of this device
        everything, others = gather(x), gather(ids)                          # [B, D], [B]: the global batch
        values = cost(x[:, None], everything[None])                          # [b, B]: own anchors
        counts = ids[:, None] != others[None]                                # an example is not its own partner
        return (values * counts).sum(), counts.sum(), ...

The step divides the sum over devices by the weight over devices: every anchor counts once under either placement. The
gradient flows through `gather` to the devices that computed the rows. `gather` belongs in `loss` and `predict`; `init`
runs outside of the placement.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from training.errors import TrainingError


def initialise(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Joins the processes of one run. Call it before jax is asked for its devices.

    Args:
      coordinator: "host:port" of process 0; None where the cluster (a TPU pod, Slurm, Open MPI) provides it.
      processes: how many there are.
      process: which one this is.

    Raises:
      TrainingError: no cluster was found, or the others could not be reached.
    """
    # Under SLURM jax would otherwise look for what is not given, and take one device of those that the host has.
    method = "deactivate" if coordinator else None
    try:
        jax.distributed.initialize(coordinator, processes, process, cluster_detection_method=method)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"cannot join the other processes: {str(error).splitlines()[0]}") from error


def devices(kind: str, fsdp: int = 1) -> "Replicas | MeshDevices":
    """All devices of all processes, as "pmap" (replicated data parallelism) or "mesh" (data parallelism × fsdp).

    "auto" is `pmap`, but on a single device a mesh of one: `jit` dispatches a step ten times faster than `pmap`.
    """
    count = jax.device_count()
    if kind == "auto":
        kind = "pmap" if count > 1 and fsdp == 1 else "mesh"
    if kind == "pmap":
        if fsdp != 1:
            raise TrainingError(f"devices.fsdp={fsdp} needs devices.kind='mesh': under 'pmap' every device holds all")
        return Replicas()
    if kind != "mesh":
        raise TrainingError(f"devices.kind={kind!r} is unknown: 'auto', 'pmap' or 'mesh'")
    if fsdp < 1 or count % fsdp:
        raise TrainingError(f"devices.fsdp={fsdp} does not divide the {count} devices")
    mesh = jax.make_mesh((count // fsdp, fsdp), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)
    return MeshDevices(mesh)


def check_batch(name: str, size: int) -> None:
    """Raises TrainingError unless `size` examples divide over all devices; names the nearest sizes that do."""
    count = jax.device_count()
    if size < 1:
        raise TrainingError(f"{name}={size} is less than 1")
    if size % count:
        low = max(size // count, 1) * count
        raise TrainingError(f"{name}={size} does not divide over {count} devices: try {low} or {low + count}")


@dataclasses.dataclass(frozen=True)
class Replicas:
    """`pmap`: each device holds the whole state and its share of the batch; sums go over the axis `batch`."""

    axis_name: str = "batch"

    def put(self, tree):
        """A host pytree, copied to each device."""
        n = jax.local_device_count()
        if n == 1:
            return jax.tree.map(lambda x: jnp.asarray(x)[None], tree)
        mesh = Mesh(np.array(jax.local_devices()), (self.axis_name,))
        sharding = NamedSharding(mesh, PartitionSpec(self.axis_name))

        def replicate(x):
            x = np.asarray(x)
            return jax.make_array_from_callback((n, *x.shape), sharding, lambda index: x[None])

        return jax.tree.map(replicate, tree)

    put_state = put

    def put_batch(self, feed, lead: int = 0):
        """This process's rows of a global batch; `lead` axes (steps, updates) come before the batch axis."""
        n = jax.local_device_count()

        def split(x):
            x = np.asarray(x)
            shape = (*x.shape[:lead], n, x.shape[lead] // n, *x.shape[lead + 1 :])
            return np.moveaxis(x.reshape(shape), lead, 0)

        return jax.tree.map(split, feed)

    def gather(self, x):
        """The rows of all devices, [b, ...] -> [B, ...], in the order of the global batch; inside a step."""
        return jax.lax.all_gather(x, self.axis_name, tiled=True)

    def get(self, tree):
        """A replicated pytree, as a copy on the host."""
        return jax.tree.map(lambda x: np.array(x.addressable_shards[0].data)[0], tree)

    def get_rows(self, tree):
        """Outputs per example of all processes, on each host."""
        rows = jax.tree.map(lambda x: np.concatenate([np.asarray(s.data)[0] for s in _ordered(x)]), tree)
        return _gather_processes(rows)

    def train_step(self, step, state):
        """The compiled step; its state is donated."""
        return jax.pmap(step, axis_name=self.axis_name, donate_argnums=0)

    def evaluate_step(self, step):
        """step(params, stats, resident, feed, frozen, key) -> (sums over the batch, rows per example), placed.

        The sums become those of the global batch and are read by `get`, the rows by `get_rows`.
        """

        def placed(*args):
            sums, rows = step(*args)
            return jax.lax.psum(sums, self.axis_name), rows

        return jax.pmap(placed, axis_name=self.axis_name)

    def predict_step(self, step):
        """step(params, stats, resident, feed, frozen, key) -> outputs per example."""
        return jax.pmap(step, axis_name=self.axis_name)


@dataclasses.dataclass(frozen=True)
class MeshDevices:
    """`jit` with named shardings: the batch is split over both axes of the mesh, parameters over `fsdp`."""

    mesh: Mesh
    axis_name: None = None

    def put(self, tree):
        return jax.tree.map(lambda x: self._put(x, PartitionSpec()), tree)

    def put_state(self, state):
        return jax.tree.map(lambda x: self._put(x, self._spec(x)), state)

    def put_batch(self, feed, lead: int = 0):
        if self.mesh.size == 1:  # jit transfers it as it dispatches, in a fifth of the time
            return feed
        sharding = NamedSharding(self.mesh, PartitionSpec(*[None] * lead, ("data", "fsdp")))
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), feed)

    def gather(self, x):
        """Under `jit` the rows are those of the global batch."""
        return x

    def get(self, tree):
        def fetch(x):
            if x.is_fully_addressable:
                return np.array(x)
            if x.is_fully_replicated:
                return np.array(x.addressable_data(0))
            return np.asarray(multihost_utils.process_allgather(x, tiled=True))

        return jax.tree.map(fetch, tree)

    get_rows = get

    def train_step(self, step, state):
        sharding = jax.tree.map(lambda x: NamedSharding(self.mesh, self._spec(x)), state)
        return jax.jit(step, donate_argnums=0, out_shardings=(sharding, NamedSharding(self.mesh, PartitionSpec())))

    def evaluate_step(self, step):
        replicated, by_example = PartitionSpec(), PartitionSpec(("data", "fsdp"))
        return jax.jit(step, out_shardings=tuple(NamedSharding(self.mesh, spec) for spec in (replicated, by_example)))

    def predict_step(self, step):
        return jax.jit(step, out_shardings=NamedSharding(self.mesh, PartitionSpec(("data", "fsdp"))))

    def shard_shape(self, x) -> tuple[int, ...]:
        """The shape of the part of a leaf of the state that each device holds."""
        return NamedSharding(self.mesh, self._spec(x)).shard_shape(x.shape)

    def _put(self, x, spec):
        x = np.asarray(x)
        sharding = NamedSharding(self.mesh, spec)
        return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])

    def _spec(self, x):
        """Splits the longest axis that `fsdp` divides; a leaf without one is replicated."""
        fsdp = self.mesh.shape["fsdp"]
        axes = [axis for axis, size in enumerate(x.shape) if size % fsdp == 0 and size >= fsdp]
        if fsdp == 1 or not axes:
            return PartitionSpec()
        longest = max(axes, key=lambda axis: x.shape[axis])
        return PartitionSpec(*("fsdp" if axis == longest else None for axis in range(x.ndim)))


@dataclasses.dataclass(frozen=True)
class Slots:
    """Several runs as one program: their arrays have a leading axis, the slot, which is split over the devices.

    Runs are independent, so devices exchange nothing.

    Attributes:
      count: the number of slots, a multiple of the devices.
    """

    mesh: Mesh
    count: int

    def put(self, tree):
        """A host pytree that all runs share, copied to each device."""
        return jax.device_put(tree, NamedSharding(self.mesh, PartitionSpec()))

    def put_all(self, trees):
        """A host pytree for each slot, stacked."""
        stacked = jax.tree.map(lambda *x: np.stack(x), *trees)
        return jax.device_put(stacked, NamedSharding(self.mesh, PartitionSpec("slots")))

    def get(self, tree):
        return jax.tree.map(np.array, tree)

    get_rows = get

    def places(self, runs: int) -> list[int]:
        """The slots of the first N runs, spread evenly over the devices; each fills its first slots."""
        devices = self.mesh.size
        return [n % devices * (self.count // devices) + n // devices for n in range(runs)]

    def load(self, runs: int):
        """How many runs each device has, as the argument `load` of the steps."""
        devices = self.mesh.size
        return self.put_all([np.int32((runs + devices - 1 - device) // devices) for device in range(devices)])

    def train_step(self, step, together: bool):
        """(load, states, feeds, hypers, resident, frozen, common) -> (states, metrics [S, ...]), compiled.

        The output of a slot without a run has no meaning. The states are donated.

        Args:
          together: all runs have the same seed and have done the same number of steps, so they see the same batches:
            `common` holds "feed", "key" and "step" and is augmented once for all; `feeds` and the keys in `hypers` are
            not read. Otherwise each run has its own feed, and `common` is not read.
        """

        def one(own, shared):
            (state, feed, hyper), (resident, frozen, common) = own, shared
            if together:
                state, feed = state.replace(step=common["step"]), common["feed"]
                hyper = {**hyper, "key": common["key"]}
            return step(state, resident, feed, frozen, hyper)

        def local(load, states, feeds, hypers, resident, frozen, common):
            own = (states, {} if together else feeds, hypers)
            return self._each(one, load[0], own, (resident, frozen, common))

        return self._placed(local, shared=3, donate_argnums=1)

    def evaluate_step(self, step):
        """(load, params, stats, keys, resident, feed, frozen) -> (sums, rows) of each slot, the slot leading."""

        def one(own, shared):
            (params, stats, key), (resident, feed, frozen) = own, shared
            return step(params, stats, resident, feed, frozen, key)

        def local(load, params, stats, keys, resident, feed, frozen):
            return self._each(one, load[0], (params, stats, keys), (resident, feed, frozen))

        return self._placed(local, shared=3)

    def _placed(self, local, shared: int, **options):
        """`local` on each device, with its slots; its last `shared` arguments are the same for all."""
        slots, whole = PartitionSpec("slots"), PartitionSpec()
        arguments = (slots,) * (local.__code__.co_argcount - shared) + (whole,) * shared
        placed = jax.shard_map(local, mesh=self.mesh, in_specs=arguments, out_specs=slots, check_vma=False)
        return jax.jit(placed, **options)

    def _each(self, one, load, own, shared):
        """Applies `one` to the first `load` slots.

        On accelerators all slots at once, to fill the chip. On CPUs one after the other: the data of a slot then stay
        in the cache, shared values are computed once before, and slots without a run take no time.
        """
        if jax.default_backend() != "cpu":
            return jax.vmap(lambda own: one(own, shared))(own)
        count = jax.tree.leaves(own)[0].shape[0]
        at = lambda i: jax.tree.map(lambda x: x[i], own)
        shapes = jax.eval_shape(lambda own: one(own, shared), at(0))
        room = jax.tree.map(lambda x: jnp.zeros((count, *x.shape), x.dtype), shapes)
        step = lambda i, found: jax.tree.map(lambda all, x: all.at[i].set(x), found, one(at(i), shared))
        return jax.lax.fori_loop(0, load, step, room)


def slots(least: int) -> Slots:
    """At least `least` slots, on all devices of this process."""
    count = jax.local_device_count()
    mesh = jax.make_mesh((count,), ("slots",), axis_types=(AxisType.Auto,), devices=jax.local_devices())
    return Slots(mesh, -(-least // count) * count)


def _ordered(x):
    return sorted(x.addressable_shards, key=lambda shard: shard.index[0].start or 0)


def _gather_processes(rows):
    if jax.process_count() == 1:
        return rows
    gathered = multihost_utils.process_allgather(rows)
    return jax.tree.map(lambda x: np.concatenate(list(x)), gathered)


@functools.cache
def is_main() -> bool:
    """Whether this process writes the records."""
    return jax.process_index() == 0
