"""What is optimised and how it is judged.

Everything that learns in fovea is a `Task`: pure functions over pytrees, and nothing that knows about devices,
optimizers, files or time. A supervised network is the case of one player, a GAN the case of two, and style transfer
the case whose parameters are the pixels of an image.
"""

import dataclasses
import zlib
from collections.abc import Callable, Mapping

import jax

from training.errors import TrainingError
from training.metrics import Metric


def _nothing():
    return {}


@dataclasses.dataclass(frozen=True)
class Task:
    """Pure functions that define a learning problem.

    `params` and `stats` (every mutable collection, such as batch statistics) are dictionaries keyed by player.
    A batch is a dictionary of arrays whose leading axis is the example: `image` [B, H, W, C], `label` [B], `id` [B].

    Attributes:
      players: who descends, in order, within one step: ("model",) or ("critic",) * 5 + ("generator",).
      init: (key, batch) -> (params, stats).
      loss: (player, params, stats, batch, key, frozen, hyper) -> (sum of w*l, sum of w, (stats, metrics)), where
        `stats` holds the players that ran and `metrics` are sums weighted as the loss is. The step divides by the
        weight of the *global* batch, so that ignored labels, accumulation and devices agree.
      predict: (params, stats, batch, key, frozen) -> outputs per example, a dictionary of arrays.
      metrics: name -> Metric over (outputs, batch).
      fresh: True: every update of the step sees its own global batch; False: the players share one.
      frozen: () -> networks that take part and are not trained (a VGG for style, an autoencoder for latents).
      sample: optional (params, stats, key, condition, frozen, **static) -> images [B, H, W, C], scaled as those of a
        batch. `condition` is a batch of what is asked for: `id` [B], the number of each sample, from which its noise
        is drawn; `label` [B] where a class is asked for.
      explain: optional, what `fovea predict` shows of one example, on the host: (image [H, W, C] uint8, outputs, info)
        -> (a line of text, {name: picture [H, W, 1 or 3] uint8}).
      dense: the outputs are per pixel, [B, H, W, ...], so that images of any size are answered in tiles.
      reconstructs: the outputs hold `image` [B, H, W, C], the network's own version of the example's.
      numbers: the options that the loss reads from `hyper["task"]`, and nothing else of the task reads: trials that
        differ in them alone are trained as one program.
      best: the metric that ranks checkpoints; "-cross_entropy" where lower is better, "" to keep only the newest.
    """

    players: tuple[str, ...]
    init: Callable
    loss: Callable
    predict: Callable
    metrics: Mapping[str, Metric] = dataclasses.field(default_factory=dict)
    fresh: bool = False
    frozen: Callable = _nothing
    sample: Callable | None = None
    explain: Callable | None = None
    dense: bool = False
    reconstructs: bool = False
    numbers: tuple[str, ...] = ()
    best: str = "accuracy"

    @property
    def names(self) -> tuple[str, ...]:
        """The distinct players, in order of first appearance."""
        return tuple(dict.fromkeys(self.players))


def stream(key: jax.Array, name: str) -> jax.Array:
    """The key of a named stream of randomness: derived from `key`, never stored."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def example_keys(key: jax.Array, ids: jax.Array) -> jax.Array:
    """One key per example, [B]. It depends on the example and not on the device that happens to hold it."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, ids)


def init_network(network, key: jax.Array, *inputs, **options) -> tuple[dict, dict]:
    """(params, stats) of one network for `inputs`, of which the shapes alone matter."""
    variables = network.init(key, *inputs, train=False, **options)
    params = variables.pop("params")
    return params, variables


def apply_in_training(network, params, stats, key: jax.Array, ids: jax.Array, *inputs, **options) -> tuple:
    """(output, new stats) of one network for `inputs`; its dropout is drawn from `key` and the examples' `ids` [B]."""
    return network.apply(
        {"params": params, **stats},
        *inputs,
        train=True,
        **options,
        mutable=list(stats),
        rngs={"dropout": module_key(key, ids)},
    )


def trained(networks: Mapping, hyper: Mapping) -> dict:
    """The networks as a loss applies them: with this step's rates, `hyper["model"]`: key -> {field: traced number}.

    Each network takes the rates of its own key; one without any is taken as it is.
    """
    rates = hyper.get("model", {})
    return {key: network.clone(**rates[key]) if key in rates else network for key, network in networks.items()}


def sample_labels(network, condition: dict) -> jax.Array | None:
    """The classes to sample [B]: as asked for, else each in turn; None for a network that knows no classes.

    Raises TrainingError where such a network is asked for one.
    """
    if getattr(network, "conditional", False):
        return condition.get("label", condition["id"] % network.num_classes)
    if "label" in condition:
        raise TrainingError("the network is not conditional: there is no class to choose")
    return None


def module_key(key: jax.Array, ids: jax.Array) -> jax.Array:
    """The key for randomness inside a module (dropout), which is drawn per batch and not per example.

    Under `jit` over a mesh it is the same on any number of devices; under `pmap` each device, holding other examples,
    draws its own.
    """
    return jax.random.fold_in(stream(key, "dropout"), ids[0])
