"""What is optimised, how it is judged, what it makes and what is shown.

Everything that learns in fovea is a `Task`: pure functions over pytrees, free of devices, optimizers, files and time.
A supervised network has one player, a GAN has two, and in style transfer the parameters are the pixels of an image.
"""

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax

from models.interfaces import Conditional, with_rates
from training.errors import TrainingError, nearest
from training.evaluators import Evaluator
from training.metrics.sums import Metric
from training.views import View


@dataclasses.dataclass(frozen=True)
class Condition:
    """Something that may be asked for when a task makes something.

    Attributes:
      kind: a kind of data/fields.py ("label", "image", "tokens", "number", …), or "array" for codes.
      shape: of one, for "array": (D,) of a latent code; () for the other kinds, whose shape the data give.
      required: it cannot be left out; what nobody asks for is taken from the validation split.
    """

    kind: str
    shape: tuple[int, ...] = ()
    required: bool = False


@dataclasses.dataclass(frozen=True)
class Makes:
    """What a trained task can make.

    Attributes:
      draw: (params, stats, key, condition, frozen, **options) -> a dictionary of arrays, [N, ...] each, which has
        `kind` as a key. `condition` is a batch: `id` [N] int32, the number of each sample, from which its noise is
        drawn with `key`; and what was asked for, by the names in `given`. The options are static; jit the rest.
      kind: what is made: "image" [N, H, W, C], scaled as the images of a batch are; "tokens" [N, L]; "boxes"
        [N, M, 4] with "labels" and "scores" [N, M]; "array" [N, ...], shown as points where there are two numbers.
      given: name -> what may be asked for.
      options: name -> default of each static option of `draw` (steps, guidance).
      count: how many there are; None: any number. 1 for style transfer, whose parameters are the one picture.
    """

    draw: Callable[..., dict[str, jax.Array]]
    kind: Literal["image", "tokens", "boxes", "array"] = "image"
    given: Mapping[str, Condition] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    count: int | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """Pure functions that define a learning problem.

    `params` and `stats` (every mutable collection, such as batch statistics) are dictionaries keyed by player.
    A batch is a dictionary of arrays whose leading axis is the example: `image` [B, H, W, C], `label` [B], `id` [B].

    What is optimised:
      players: who descends, in order, within one step: ("model",) or ("critic",) * 5 + ("generator",).
      init: (key, batch) -> (params, stats).
      loss: (player, params, stats, batch, key, frozen, hyper) -> (sum of w*l, sum of w, (stats, metrics)), where
        `stats` holds the players that ran and `metrics` are sums weighted as the loss is. The step divides by the
        weight of the *global* batch, so that ignored labels, accumulation and devices agree. `frozen` is {role:
        variables} of the page's frozen networks; `hyper["task"]` holds the `numbers`.
      predict: (params, stats, batch, key, frozen) -> outputs per example, a dictionary of arrays [B, ...].
      needs: the fields of a batch that the loss reads besides "image"; data without one of them are refused.
      fresh: True: every update of the step sees its own global batch; False: the players share one.
      pairs: the loss compares the examples of a batch, so that microbatches would be another loss.
      numbers: the options that the loss reads from `hyper["task"]`, and nothing else of the task reads: trials that
        differ only in them are trained as one program.

    How it is judged:
      metrics: name -> Metric over (outputs, batch): sums, on the devices.
      evaluators: name -> Evaluator: rows, on the host.
      best: the number that ranks checkpoints, a name in their readings, which have its direction; "" to keep only the
        newest checkpoint.

    What it makes and shows:
      makes: what a trained task can make, if anything.
      views: rows of pictures and text over the fields and outputs of an example. Views over the batch alone show the
        data; those over outputs show predictions.
      outputs: the outputs that answer a user's picture, name -> kind of data/fields.py. Boxes, points and masks are
        brought back to the picture's own pixels; rows that belong to a negative entry of "labels" are padding.
      tiled: the outputs are per pixel, [B, H, W, ...], so that images of any size are answered in tiles.
    """

    players: tuple[str, ...]
    init: Callable
    loss: Callable
    predict: Callable
    metrics: Mapping[str, Metric] = dataclasses.field(default_factory=dict)
    evaluators: Mapping[str, Evaluator] = dataclasses.field(default_factory=dict)
    needs: tuple[str, ...] = ()
    fresh: bool = False
    pairs: bool = False
    numbers: tuple[str, ...] = ()
    best: str = ""
    makes: Makes | None = None
    views: tuple[View, ...] = ()
    outputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tiled: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The distinct players, in order of first appearance."""
        return tuple(dict.fromkeys(self.players))


def stream(key: jax.Array, name: str) -> jax.Array:
    """The key of a named stream of randomness: derived from `key`, never stored."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def example_keys(key: jax.Array, batch: Mapping[str, jax.Array], group: str = "") -> jax.Array:
    """One key per example, [B]. It depends on the example and its use, not on the device that holds it.

    Args:
      batch: `id` [B], and in training `use` [B]: a batch may hold an example twice.
      group: of unpaired examples, whose `id/GROUP` and `use/GROUP` count.
    """
    name = lambda kind: f"{kind}/{group}" if group else kind
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, batch[name("id")])
    return jax.vmap(jax.random.fold_in)(keys, batch[name("use")]) if name("use") in batch else keys


def check_asked(makes: Makes, asked: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raises TrainingError, naming the nearest one, for a condition or an option that `makes` does not have."""
    for what, names, known in (("condition", asked, makes.given), ("option", options, makes.options)):
        for name in names:
            if name not in known:
                hint = nearest(name, known) if known else f"it takes no {what}"
                raise TrainingError(f"the task has no {what} {name!r} for what it makes: {hint}")


def init_network(network, key: jax.Array, *inputs, **options) -> tuple[dict, dict]:
    """(params, stats) of one network for `inputs`; only their shapes matter."""
    variables = network.init(key, *inputs, train=False, **options)
    params = variables.pop("params")
    return params, variables


def apply_in_training(network, params, stats, key: jax.Array, batch: Mapping, *inputs, **options) -> tuple:
    """(output, new stats) of one network for `inputs`; its dropout is drawn from `key` and the examples of `batch`."""
    return network.apply(
        {"params": params, **stats},
        *inputs,
        train=True,
        **options,
        mutable=list(stats),
        rngs={"dropout": module_key(key, batch)},
    )


def trained(networks: Mapping, hyper: Mapping) -> dict:
    """The networks as a loss applies them: with this step's rates, `hyper["model"]`: key -> {field: traced number}.

    Each network takes the rates of its own key; one without any is taken as it is.
    """
    rates = hyper.get("model", {})
    return {key: with_rates(network, rates[key]) if key in rates else network for key, network in networks.items()}


def conditions(network) -> tuple[str, ...]:
    """The fields of a batch that a network takes besides its input; () of one that states none."""
    return network.conditions if isinstance(network, Conditional) else ()


def sample_labels(network, condition: dict) -> jax.Array | None:
    """The classes to sample [B]: those asked for, or each class in turn; None for a network that is not conditional.

    Raises TrainingError if such a network is asked for a class.
    """
    if "label" in conditions(network):
        return condition.get("label", condition["id"] % network.num_classes)
    if "label" in condition:
        raise TrainingError("the network is not conditional: there is no class to choose")
    return None


def module_key(key: jax.Array, batch: Mapping) -> jax.Array:
    """The key for randomness inside a module (dropout), which is drawn per batch and not per example.

    Under `jit` over a mesh it is the same on any number of devices; under `pmap` each device, holding other examples,
    draws its own.
    """
    first = {name: batch[name][:1] for name in ("id", "use") if name in batch}
    return example_keys(stream(key, "dropout"), first)[0]
