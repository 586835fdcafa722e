"""The one train step. Everything that learns in fovea goes through it, and no task has a branch in it."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from training.task import Task, stream

BUFFERS = "buffers"  # the collection in `stats` that is never averaged over devices
COUNTED = "counted"  # in the metrics of a step: whether anything in its batch had weight


class TrainState(flax.struct.PyTreeNode):
    """Everything that changes while training. Random state and schedules are derived, so they are not in it.

    `stats` are {player: {collection: tree}}. After every update the floating leaves of a collection are averaged over
    devices (batch statistics, code books). The collection "buffers" is not: it holds values, not averages (a history
    of images, a queue of keys), and its owner computes it from the global batch (`gather`), so that it is equal on all
    devices.
    """

    step: jax.Array  # int32, steps done
    params: dict[str, Any]  # by player
    stats: dict[str, Any]  # by player, then by collection
    opt_state: dict[str, Any]  # by player
    ema: dict[str, Any]  # by player, float32 (float64 with x64); empty when not asked for


def ema_of(params):
    """A shadow copy of `params`, at least float32, so that small updates are not lost in bfloat16."""
    return jax.tree.map(lambda p: p.astype(jnp.promote_types(p.dtype, jnp.float32)), params)


def init_state(task: Task, optimizers: dict[str, Callable], key, batch, hyper, ema_players=()) -> TrainState:
    """The state before the first step. Of `batch` only the shapes matter: under jit, none of it is computed."""
    params, stats = task.init(key, batch)
    opt_state = {p: optimizers[p](0, _of(hyper, p)).init(params[p]) for p in task.names}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        stats=stats,
        opt_state=opt_state,
        ema={p: ema_of(params[p]) for p in ema_players},
    )


def _of(hyper, player):
    """The numbers for a player's optimizer."""
    return {"optimizer": hyper["optimizer"][player], "schedule": hyper["schedule"][player]}


def fetch(resident: dict, feed: dict) -> dict:
    """A batch: gathered from a data set resident on the device by the ids in `feed`, or `feed` itself when streaming.

    Args:
      resident: name -> all examples [N, ...]; {} when streaming. The arrays "other" and "other/…" belong to a group of
        unpaired examples where the feed has ids for it; every other array belongs to the first group.
      feed: `id` [B], and for each further group its own ids, "id/other" [B].
    """
    ids = lambda name: feed.get(f"id/{name.partition('/')[0]}", feed["id"])
    return {**feed, **{name: array[ids(name)] for name, array in resident.items()}}


def update_key(root: jax.Array, step: jax.Array, update: int = 0) -> jax.Array:
    """The key of an update of a step, from the data of the root key; its stream "augment" varies the batch."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.wrap_key_data(root), step), update)


def make_train_step(
    task: Task,
    optimizers: dict[str, Callable],
    augment: Callable,
    *,
    accumulate: int = 1,
    ema_decay: float = 0.0,
    axis_name: str | None = None,
) -> Callable:
    """Builds `step(state, resident, feed, frozen, hyper) -> (state, metrics)`.

    The metrics of a batch without any weight (every pixel is ignored, say) are 0, its gradient is 0, and its `counted`
    is False: they measure nothing, and belong in no mean.

    Args:
      optimizers: player -> (step, hyper) -> optax transformation, called with value, grad and value_fn.
      augment: (batch, key) -> batch, drawn per example on the device.
      accumulate: microbatches per update. Microbatch m takes every example whose place is m modulo `accumulate`, so
        that its members do not depend on the number of devices.
      ema_decay: decay of the moving average, warmed up as (1 + t) / (10 + t); for the players in `state.ema`.
      axis_name: the axis over which the step is mapped by `pmap`; None under `jit`, where a sum is global by itself.
    """
    total = (lambda x: jax.lax.psum(x, axis_name)) if axis_name else (lambda x: x)

    def average(tree):
        """The mean over devices of every floating leaf."""
        if not axis_name:
            return tree
        floating = lambda x: jnp.issubdtype(x.dtype, jnp.floating)
        return jax.tree.map(lambda x: jax.lax.pmean(x, axis_name) if floating(x) else x, tree)

    def synchronise(stats):
        return {
            player: {name: tree if name == BUFFERS else average(tree) for name, tree in collections.items()}
            for player, collections in stats.items()
        }

    def gradient(player, params, stats, batch, key, frozen, hyper):
        """Gradient of the mean loss over the global batch with respect to one player; loss, new stats, metrics.

        The last of the metrics is COUNTED.
        """

        def loss(own, stats, batch, key):
            value, weight, aux = task.loss(player, {**params, player: own}, stats, batch, key, frozen, hyper)
            return value, (weight, aux)

        def microbatch(carry, x):
            stats, sums = carry
            m, batch = x
            (value, (weight, (new, metrics))), grad = jax.value_and_grad(loss, has_aux=True)(
                params[player], stats, batch, jax.random.fold_in(key, m)
            )
            out = (grad, value, weight, metrics)
            return ({**stats, **new}, out if sums is None else jax.tree.map(jnp.add, sums, out)), None

        if accumulate == 1:
            (stats, sums), _ = microbatch((stats, None), (0, batch))
        else:
            split = lambda x: x.reshape(-1, accumulate, *x.shape[1:]).swapaxes(0, 1)
            batches = (jnp.arange(accumulate), jax.tree.map(split, batch))
            # The first microbatch runs ahead of the loop, which gives the sums their structure.
            carry, _ = microbatch((stats, None), jax.tree.map(lambda x: x[0], batches))
            (stats, sums), _ = jax.lax.scan(microbatch, carry, jax.tree.map(lambda x: x[1:], batches))
        grad, value, weight, metrics = total(sums)
        counted, weight = weight > 0, _positive(weight, value.dtype)
        mean = lambda tree: jax.tree.map(lambda x: (x / weight).astype(x.dtype), tree)

        def value_fn(own):
            # The mean of equal parameters is the same, but its gradient is that of the global loss.
            value, (weight, _) = loss(average(own), stats, batch, jax.random.fold_in(key, 0))
            value, weight = total((value, weight))
            return value / _positive(weight, value.dtype)

        metrics = {**mean(metrics), "loss": value / weight, COUNTED: counted}
        return mean(grad), metrics, synchronise(stats), value_fn

    def train_step(state: TrainState, resident, feed, frozen, hyper):
        params, stats, opt_state, report = state.params, state.stats, dict(state.opt_state), {}
        for update, player in enumerate(task.players):
            key = update_key(hyper["key"], state.step, update if task.fresh else 0)
            if update == 0 or task.fresh:
                own = jax.tree.map(lambda x, u=update: x[u], feed) if task.fresh else feed
                batch = augment(fetch(resident, own), stream(key, "augment"))
            noise = stream(jax.random.fold_in(key, update), "loss")
            grad, metrics, stats, value_fn = gradient(player, params, stats, batch, noise, frozen, hyper)
            optimizer = optimizers[player](state.step, _of(hyper, player))
            measured = dict(value=metrics["loss"], grad=grad, value_fn=value_fn)
            change, moved = optimizer.update(grad, opt_state[player], params[player], **measured)
            opt_state[player] = _keep_plateau(moved, opt_state[player], metrics[COUNTED])
            params = {**params, player: optax.apply_updates(params[player], change)}
            metrics |= {
                "gradient_norm": optax.tree.norm(grad),
                "update_norm": optax.tree.norm(change),
                "parameter_norm": optax.tree.norm(params[player]),
            }
            prefix = "" if len(task.names) == 1 else f"{player}/"
            report |= {prefix + name: number for name, number in metrics.items()}
        t = state.step.astype(jnp.float32)
        decay = jnp.minimum(ema_decay, (1 + t) / (10 + t))
        ema = {
            p: jax.tree.map(lambda e, x: (e + (1 - decay) * (x - e)).astype(e.dtype), state.ema[p], params[p])
            for p in state.ema
        }
        state = TrainState(state.step + 1, params, stats, opt_state, ema)
        return state, report

    return train_step


def _positive(weight, dtype):
    """The weight of a batch as a divisor: for a batch without any weight, the smallest positive number."""
    return jnp.maximum(weight, jnp.finfo(dtype).tiny)


def _keep_plateau(moved, before, counted):
    """The optimizer's state `moved`, in which plateau schedules skip a loss of 0 that measures nothing."""
    plateau = lambda x: isinstance(x, optax.contrib.ReduceLROnPlateauState)
    keep = lambda x, old: jax.tree.map(lambda a, b: jnp.where(counted, a, b), x, old) if plateau(x) else x
    return jax.tree.map(keep, moved, before, is_leaf=plateau)


def several_steps(step: Callable) -> Callable:
    """Several steps per dispatch: `feed` gains a leading axis, and so do the metrics."""

    def steps(state, resident, feeds, frozen, hyper):
        return jax.lax.scan(lambda state, feed: step(state, resident, feed, frozen, hyper), state, feeds)

    return steps
