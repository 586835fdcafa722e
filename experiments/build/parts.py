"""From a page to objects: the one place that knows all rooms."""

import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from data.augment import make_augment, make_prepare, make_restore
from data.fields import group_number, of_kind
from data.pipeline import EvaluationFeed, Feed, first_batch
from data.source import Info, Source, blank_source
from experiments.build.compilation import keep_compiled
from experiments.build.feeds import Dispatch, evaluation_feed, read_resident, train_feed
from experiments.build.frozen import frozen_variables
from experiments.build.hyper import make_hyper, make_learning_rates, make_optimizers, swept_numbers
from experiments.build.memory import Memory, members_of
from experiments.build.networks import make_networks
from experiments.build.sets import EvaluationSet, check_same_fields, evaluation_sets, open_set
from experiments.build.task import make_task
from experiments.build.warm_start import take_parameters
from experiments.errors import PageError, near
from models.layers.conv import gradients_written_out
from training.errors import TrainingError
from training.hardware import peak_operations
from training.journal import Intervals
from training.parallel import check_batch, devices
from training.step import TrainState, init_state, make_train_step, several_steps
from training.task import Task, stream

DTYPES = ("float32", "bfloat16", "float64")


def check_page(page: ConfigDict) -> None:
    """Raises PageError or TrainingError for a value of the section `train` that no page can have."""
    train = page.train
    for key in ("dtype", "param_dtype"):
        if train[key] not in DTYPES:
            raise PageError(f"train.{key}={train[key]!r}{near(train[key], DTYPES)}")
    for key, least in (("seed", 0), ("accumulate", 1), ("steps_per_call", 1), ("samples", 1)):
        if train[key] < least:
            raise PageError(f"train.{key}={train[key]} is less than {least}")
    check_batch("train.batch_size", train.batch_size)
    check_batch("train.evaluate_batch_size", train.evaluate_batch_size)
    if train.batch_size // jax.device_count() % train.accumulate:
        raise TrainingError(
            f"train.accumulate={train.accumulate} does not divide the"
            f" {train.batch_size // jax.device_count()} examples of each device"
        )


class Parts:
    """What a page names, each part built when it is first asked for.

    In the order in which they build on one another: data, networks, task, numbers, feeds, step, state.

    Args:
      memory: of the run that is gone on with. Where the page opens the data that it remembers, the training data are
        opened only if their examples are needed.
    """

    def __init__(self, page: ConfigDict, memory: Memory | None = None):
        keep_compiled()
        check_page(page)
        self.page, self.memory = page, memory
        if "float64" in (page.train.dtype, page.train.param_dtype):
            jax.config.update("jax_enable_x64", True)
        self.devices = devices(page.devices.kind, page.devices.fsdp)
        self.intervals = Intervals(
            page.train.steps,
            page.train.steps_per_call,
            page.train.log_every,
            page.train.evaluate_every,
            page.train.checkpoint_every,
        )

    def sibling(self, page: ConfigDict) -> "Parts":
        """The parts of a page that differs from this one in `numbers` and seed alone: what is built stays shared."""
        _ = self.step, self.abstract_state, self._initialise, self._rates  # compiled once for all
        other = copy.copy(self)
        other.page, other.source, other.resident, other.members = page, self.source, self.resident, self.members
        for name in ("numbers", "hyper", "root_key", "feed"):
            other.__dict__.pop(name, None)
        return other

    # Data.

    @functools.cached_property
    def sets(self) -> dict[str, EvaluationSet]:
        """The evaluation sets of the page, by name."""
        return evaluation_sets(self.page)

    def has(self, name: str) -> bool:
        """Whether the page has an evaluation set of this name."""
        return name in self.sets

    @functools.cache  # noqa: B019 - lives as long as the run
    def source(self, name: str) -> Source:
        """The training split ("train"), an evaluation set by its name, or any split of the page's data ("train[:50%]").

        Raises PageError where the page states another number of classes than the data have.
        """
        source = open_set(self.page.data, name, self.sets, lambda: self.info, self._remembered)
        if self.memory and name == "train":
            check_same_fields("the training data", source.info, self.memory.info)
        return source

    @functools.cached_property
    def info(self) -> Info:
        """Of the training data: as the run remembers them, or as they are."""
        return self._remembered or self.source("train").info

    @functools.cached_property
    def _remembered(self) -> Info | None:
        return self.memory.info if self.memory and self.memory.serves(self.page.data) else None

    @property
    def descriptions(self) -> list[str]:
        """A line on each data set of the page, as far as it has something to report."""
        lines = (self.source(name).description for name in ("train", *self.sets))
        return [line for line in dict.fromkeys(lines) if line]

    @functools.cache  # noqa: B019
    def members(self, name: str) -> np.ndarray | None:
        """[N] uint64: the examples of a set; see experiments/build/memory.py."""
        data = self.sets[name].data if name in self.sets else self.page.data
        found = members_of(data, self.source(name))
        # A file of another data set is not that of the same name in this one.
        return found if found is None or data is self.page.data else found ^ np.uint64(group_number(name))

    @functools.cached_property
    def prepare(self) -> Callable:
        """batch -> batch with images scaled as the network takes them."""
        return make_prepare(self.info, self.page.data.scale, self._input_dtype)

    @functools.cached_property
    def augment(self) -> Callable:
        """(batch, key) -> batch as training sees it."""
        vary = make_augment(self.page.data.augment, self.info, self._input_dtype)
        return lambda batch, key: self.prepare(vary(batch, key))

    @functools.cached_property
    def view(self) -> Callable:
        """batch -> batch as evaluation sees it: prepared, after augmentation that is the same in every run."""
        vary = make_augment(self.page.data.evaluate_augment, self.info, self._input_dtype)
        return lambda batch: self.prepare(vary(batch, jax.random.key(0)))

    @functools.cached_property
    def restore(self) -> Callable:
        """Images as the network makes them -> in [0, 1]."""
        return make_restore(self.info, self.page.data.scale)

    @property
    def _input_dtype(self):
        return "float64" if self.page.train.dtype == "float64" else "float32"

    def example_batch(self, size: int = 2) -> dict[str, np.ndarray]:
        """Zeros of the shapes of a training batch of `size` examples, augmented and scaled."""
        batch = first_batch(blank_source(self.info), size)
        shapes = jax.eval_shape(self.augment, batch, jax.random.key(0))
        return {name: np.zeros(x.shape, x.dtype) for name, x in shapes.items()}

    # Networks and task.

    @functools.cached_property
    def networks(self) -> dict[str, Any]:
        """key -> module, of the sections `model` and `frozen`."""
        page, supplied = self.page.train, {}
        supplied["num_classes"] = len(self.info.classes)
        supplied["vocabulary"] = max([len(x.names) for x in of_kind(self.info.fields, "tokens").values()], default=0)
        supplied["shape"] = self.example_batch()["image"].shape[1:]  # which a crop makes smaller
        supplied["dtype"], supplied["param_dtype"] = jnp.dtype(page.dtype), jnp.dtype(page.param_dtype)
        supplied["axis_name"] = self.devices.axis_name
        return make_networks(self.page, supplied)

    @functools.cached_property
    def task(self) -> Task:
        supplied = {
            "info": self.info,
            "shape": self.example_batch()["image"].shape[1:],
            "scale": self.page.data.scale,
            "gather": self.devices.gather,
        }
        return make_task(self.page, self.networks, supplied)

    @functools.cached_property
    def frozen(self) -> dict[str, Any]:
        """role -> variables of the page's frozen networks, on the host; each is read once."""
        image = self.example_batch()["image"][:1]
        return {
            role: frozen_variables(role, self.networks[role], section, image, self.page.data, self.info)
            for role, section in self.page.frozen.items()
        }

    @functools.cached_property
    def placed_frozen(self) -> Any:
        """The same, on the devices."""
        return self.devices.put(self.frozen)

    # Numbers.

    @functools.cached_property
    def numbers(self) -> dict[str, Any]:
        """Every number that a researcher sweeps, by its key in the page; without `train.seed`."""
        return swept_numbers(self.page, self.task)

    @functools.cached_property
    def hyper(self) -> dict[str, Any]:
        """The same and the root key, as arguments of the compiled step: never constants in it."""
        return {**make_hyper(self.page, self.task, self.numbers), "key": self.root_key}

    @functools.cached_property
    def root_key(self) -> np.ndarray:
        """The data of the one random key from which all randomness is derived."""
        return np.asarray(jax.random.key_data(jax.random.key(self.page.train.seed)))

    @functools.cached_property
    def optimizers(self) -> dict[str, Callable]:
        return make_optimizers(self.page, self.task)

    def learning_rates(self, step: int) -> dict[str, float]:
        """The learning rate of each player at `step`."""
        return {player: float(rate) for player, rate in self._rates(step, self.hyper["schedule"]).items()}

    @functools.cached_property
    def _rates(self) -> Callable:
        return make_learning_rates(self.page, self.task)

    # Feeds.

    @functools.cache  # noqa: B019
    def resident(self, name: str) -> dict[str, Any]:
        """The split on the devices, or {} where it is streamed."""
        return self.devices.put(read_resident(self.page.data, self.source(name)))

    @functools.cached_property
    def feed(self) -> Feed:
        """The batches of training by their number, on the host."""
        return train_feed(self.page, self.source("train"), bool(self.resident("train")))

    def feeds(self, start: int) -> Iterator[Any]:
        """Placed feeds of the dispatches from step `start` on."""
        return (self.devices.put_batch(feed, lead=len(self._dispatch.lead)) for feed in self.host_feeds(start))

    def host_feeds(self, start: int) -> Iterator[Any]:
        """Feeds of the dispatches from step `start` on, on the host, [steps per call, updates, batch, ...]."""
        return self._dispatch.feeds(self.feed, start)

    @functools.cached_property
    def _dispatch(self) -> Dispatch:
        updates = len(self.task.players) if self.task.fresh else 1
        return Dispatch(self.intervals.steps_per_call, updates, self.task.fresh)

    def evaluation_feeds(self, name: str) -> Iterator[Any]:
        """Placed feeds that hold every example of the split once."""
        return map(self.devices.put_batch, self.evaluation_batches(name))

    def evaluation_batches(self, name: str) -> EvaluationFeed:
        """The same, on the host."""
        return evaluation_feed(self.page, self.source(name), bool(self.resident(name)))

    # Step and state.

    @property
    def peak_operations(self) -> float | None:
        """Operations/s that all devices can do at most, as the page says or as is known of their kind."""
        each = self.page.devices.peak_operations or peak_operations(jax.devices()[0].device_kind)
        return each and each * jax.device_count()

    @functools.cached_property
    def step(self) -> Callable:
        """`steps_per_call` train steps, neither placed nor compiled."""
        page = self.page.train
        step = make_train_step(
            self.task,
            self.optimizers,
            self.augment,
            accumulate=page.accumulate,
            ema_decay=page.ema,
            axis_name=self.devices.axis_name,
        )
        steps = step if page.steps_per_call == 1 else several_steps(step)

        def lowered(state, resident, feed, frozen, hyper):
            with gradients_written_out():
                return steps(state, resident, feed, frozen, hyper)

        return lowered

    @functools.cached_property
    def abstract_state(self) -> TrainState:
        """Shapes and dtypes of the state; computes nothing."""
        return self._initialise.eval_shape(self.root_key, self.example_batch(), self.hyper)  # traced once for both

    def initial_state(self) -> TrainState:
        """The state before the first step, on the host: the same for any number of devices."""
        state = self._initialise(self.root_key, self.example_batch(), self.hyper)
        state = jax.tree.map(np.array, state)
        page = self.page.train
        return take_parameters(state, self.networks, page.init_from, page.init_except) if page.init_from else state

    @functools.cached_property
    def _initialise(self) -> Callable:
        # To optimise what runs once takes XLA's CPU backend longer than to run it: 5 s against 1 s for ResNet-20.
        options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
        return jax.jit(self._make_state, compiler_options=options)

    def _make_state(self, key_data: jax.Array, batch: dict, hyper: dict) -> TrainState:
        key = stream(jax.random.wrap_key_data(key_data), "init")
        return init_state(self.task, self.optimizers, key, batch, hyper, self._ema_players)

    @functools.cached_property
    def _ema_players(self) -> tuple[str, ...]:
        names = self.task.names
        for player in self.page.train.ema_players:
            if player not in names:
                raise PageError(f"train.ema_players: no player {player!r}{near(player, names)}")
        return (self.page.train.ema_players or names) if self.page.train.ema else ()
