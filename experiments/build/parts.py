"""From a page to objects: the one place that knows all rooms."""

import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from data import open_source
from data.augment import make_augment, make_prepare, make_restore, moves_pixels
from data.fields import of_kind
from data.pipeline import EvaluationFeed, Feed, first_batch, resident_arrays
from data.source import Info, Source
from experiments.build.compilation import keep_compiled
from experiments.build.frozen import frozen_variables
from experiments.build.networks import make_networks, model_rates
from experiments.build.sets import EvaluationSet, check_same_fields, evaluation_sets
from experiments.build.warm_start import take_parameters
from experiments.errors import PageError, near
from experiments.pages.component import find
from experiments.pages.schema import PLAIN, components
from models.layers.conv import gradients_written_out
from training import loop
from training.errors import TrainingError
from training.optimizers import make_optimizer, numbers
from training.parallel import check_batch, devices
from training.step import TrainState, init_state, make_train_step, several_steps
from training.task import Task, stream

DTYPES = ("float32", "bfloat16", "float64")
# Keys of `data` and of a set in `evaluate` that are not options of the source.
NOT_OPTIONS = {"name", "split", "every", "also", *PLAIN["data"]}


class Parts:
    """What a page names, each part built when it is first asked for."""

    def __init__(self, page: ConfigDict):
        keep_compiled()
        self.page = page
        for key in ("dtype", "param_dtype"):
            if page.train[key] not in DTYPES:
                raise PageError(f"train.{key}={page.train[key]!r}{near(page.train[key], DTYPES)}")
        if "float64" in (page.train.dtype, page.train.param_dtype):
            jax.config.update("jax_enable_x64", True)
        self.devices = devices(page.devices.kind, page.devices.fsdp)
        for key, least in (("seed", 0), ("accumulate", 1), ("steps_per_call", 1)):
            if page.train[key] < least:
                raise PageError(f"train.{key}={page.train[key]} is less than {least}")
        check_batch("train.batch_size", page.train.batch_size)
        check_batch("train.evaluate_batch_size", page.train.evaluate_batch_size)
        if page.train.batch_size // jax.device_count() % page.train.accumulate:
            raise TrainingError(
                f"train.accumulate={page.train.accumulate} does not divide the"
                f" {page.train.batch_size // jax.device_count()} examples of each device"
            )
        self.intervals = loop.Intervals(
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
        other.page, other.source, other.resident = page, self.source, self.resident
        for name in ("numbers", "hyper", "root_key", "feed"):
            other.__dict__.pop(name, None)
        return other

    # What the page names.

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
        own = self.page.data
        chosen = self.sets.get(name) or EvaluationSet(name, own, own.train if name == "train" else name, 0)
        options = {key: value for key, value in chosen.data.items() if key not in NOT_OPTIONS}
        source = open_source(chosen.data.name, chosen.split, **options)
        stated, found = own.num_classes, source.info.classes
        if stated is not None and stated != len(found):
            raise PageError(
                f"data.num_classes={stated}, but {chosen.data.name} has {len(found)} classes:"
                f" {', '.join(found[:10])}{' …' if len(found) > 10 else ''}"
            )
        if name in self.sets:
            check_same_fields(name, source.info, self.info)
        return source

    @property
    def info(self) -> Info:
        return self.source("train").info

    @functools.cached_property
    def networks(self) -> dict[str, Any]:
        page, supplied = self.page.train, {}
        supplied["num_classes"] = len(self.info.classes)
        supplied["vocabulary"] = max([len(x.names) for x in of_kind(self.info.fields, "tokens").values()], default=0)
        supplied["shape"] = self.example_batch()["image"].shape[1:]  # which a crop makes smaller
        supplied["dtype"], supplied["param_dtype"] = jnp.dtype(page.dtype), jnp.dtype(page.param_dtype)
        supplied["axis_name"] = self.devices.axis_name
        return make_networks(self.page, supplied)

    @functools.cached_property
    def task(self) -> Task:
        ((_, (component, options)),) = components("task", self.page.task).items()
        supplied = {
            "info": self.info,
            "shape": self.example_batch()["image"].shape[1:],
            "scale": self.page.data.scale,
            "gather": self.devices.gather,
        }
        given = {name: supplied[name] for name in component.supplied() & supplied.keys()}
        task = component.load()(self.networks, **component.fixed, **options, **given)
        check_movements(self.page.data, self.info, task)
        if task.pairs and self.page.train.accumulate > 1:
            raise PageError(
                f"train.accumulate={self.page.train.accumulate}: the loss of task {self.page.task.name!r} compares the"
                " examples of a batch, and a microbatch has other pairs"
            )
        return task

    @functools.cached_property
    def frozen(self) -> dict[str, Any]:
        """role -> variables of the page's frozen networks, on the host; each is read once."""
        image = self.example_batch()["image"][:1]
        return {
            role: frozen_variables(role, self.networks[role], section, image)
            for role, section in self.page.frozen.items()
        }

    @functools.cached_property
    def placed_frozen(self) -> Any:
        """The same, on the devices."""
        return self.devices.put(self.frozen)

    def sections(self, player: str) -> tuple[dict, dict]:
        """The sections `optimizer` and `schedule` of a player; one section serves all players."""
        pair = []
        for kind in ("optimizer", "schedule"):
            section = self.page[kind]
            if "name" not in section and player not in section:
                raise PageError(f"{kind} has no part for player {player!r}{near(player, section)}")
            pair.append((section if "name" in section else section[player]).to_dict())
        return tuple(pair)

    @functools.cached_property
    def optimizers(self) -> dict[str, Callable]:
        steps = self.page.train.steps
        return {player: make_optimizer(*self.sections(player), steps=steps) for player in self.task.names}

    def learning_rates(self, step: int) -> dict[str, float]:
        """The learning rate of each player at `step`."""
        return {player: float(rate) for player, rate in self._rates(step, self.hyper["schedule"]).items()}

    @functools.cached_property
    def _rates(self) -> Callable:
        names = {player: self.sections(player)[1]["name"] for player in self.task.names}
        schedules = {player: find("schedule", name).load() for player, name in names.items()}
        steps = self.page.train.steps
        return jax.jit(lambda step, numbers: {p: f(step, steps=steps, **numbers[p]) for p, f in schedules.items()})

    @functools.cached_property
    def numbers(self) -> dict[str, Any]:
        """Every number a researcher sweeps, by its key in the page, but for `train.seed`."""
        found = {f"task.{name}": self.page.task[name] for name in self.task.numbers}
        for kind, of in (("optimizer", numbers), ("schedule", _rates_numbers)):
            section = self.page[kind]
            for key, part in ({"": section} if "name" in section else section).items():
                prefix = ".".join(filter(None, (kind, key)))
                found |= {f"{prefix}.{name}": value for name, value in of(part.to_dict()).items()}
        # At a rate of 0 the network has no such layer: that is another program.
        return found | {key: rate for key, rate in model_rates(self.page).items() if rate}

    @functools.cached_property
    def hyper(self) -> dict[str, Any]:
        """The same, as arguments of the compiled step: never constants in it."""
        pairs = {player: self.sections(player) for player in self.task.names}
        rates = {}
        for key in components("model", self.page.model):
            prefix = "model." if "name" in self.page.model else f"model.{key}."
            own = {k.removeprefix(prefix): v for k, v in self.numbers.items() if k.startswith(prefix)}
            rates |= {key: own} if own else {}
        hyper = {
            "optimizer": {player: numbers(optimizer) for player, (optimizer, _) in pairs.items()},
            "schedule": {player: _rates_numbers(schedule) for player, (_, schedule) in pairs.items()},
            "task": {name: self.page.task[name] for name in self.task.numbers},
            "model": rates,
        }
        dtype = np.float64 if jax.config.jax_enable_x64 else np.float32
        hyper = jax.tree.map(lambda x: np.asarray(x, dtype), hyper)
        return {**hyper, "key": self.root_key}

    @functools.cached_property
    def prepare(self) -> Callable:
        return make_prepare(self.info, self.page.data.scale, self._input_dtype)

    @functools.cached_property
    def augment(self) -> Callable:
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

    # Data, placed.

    @functools.cache  # noqa: B019
    def resident(self, role: str) -> dict[str, Any]:
        """The split on the devices, or {} where it is streamed."""
        mode, arrays = self.page.data.resident, None
        if mode not in ("auto", "yes", "no"):
            raise PageError(f"data.resident={mode!r}: 'auto', 'yes' or 'no'")
        if mode != "no":
            arrays = resident_arrays(self.source(role))
        if mode == "yes" and arrays is None:
            raise PageError(f"data.resident='yes', but {self.page.data.name} must be streamed")
        return self.devices.put(arrays or {})

    def feeds(self, start: int) -> Iterator[Any]:
        """Placed feeds of the dispatches from step `start` on."""
        return (self.devices.put_batch(feed, lead=len(self._lead)) for feed in self.host_feeds(start))

    @property
    def _lead(self) -> list[int]:
        """The leading axes of a feed, before that of the batch: steps per call, updates."""
        calls, updates = self.intervals.steps_per_call, len(self.task.players)
        return [calls] * (calls > 1) + [updates] * self.task.fresh

    def host_feeds(self, start: int) -> Iterator[Any]:
        """Feeds of the dispatches from step `start` on, on the host, [steps per call, updates, batch, ...]."""
        calls, updates = self.intervals.steps_per_call, len(self.task.players) if self.task.fresh else 1
        shape = self._lead
        stack = lambda *x: np.stack(x).reshape(*shape, *x[0].shape) if shape else x[0]
        batches = self.feed.start(start * updates)
        try:
            while True:
                group = [next(batches) for _ in range(calls * updates)]
                yield jax.tree.map(stack, *group)
        finally:
            batches.close()

    @functools.cached_property
    def feed(self) -> Feed:
        page = self.page.train
        sampler = self.page.data.sampler
        return Feed(self.source("train"), page.batch_size, seed=page.seed, sampler=sampler, **self._sharding("train"))

    def evaluation_feeds(self, role: str) -> Iterator[Any]:
        """Placed feeds that hold every example of the split once."""
        return map(self.devices.put_batch, self.evaluation_batches(role))

    def evaluation_batches(self, role: str) -> EvaluationFeed:
        """The same, on the host."""
        return EvaluationFeed(self.source(role), self.page.train.evaluate_batch_size, **self._sharding(role))

    def _sharding(self, role):
        return dict(
            resident=bool(self.resident(role)),
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    # The step.

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
    def root_key(self) -> np.ndarray:
        """The data of the one random key from which all randomness is derived."""
        return np.asarray(jax.random.key_data(jax.random.key(self.page.train.seed)))

    @functools.cached_property
    def _ema_players(self) -> tuple[str, ...]:
        names = self.task.names
        for player in self.page.train.ema_players:
            if player not in names:
                raise PageError(f"train.ema_players: no player {player!r}{near(player, names)}")
        return (self.page.train.ema_players or names) if self.page.train.ema else ()

    def _make_state(self, key_data: jax.Array, batch: dict, hyper: dict) -> TrainState:
        key = stream(jax.random.wrap_key_data(key_data), "init")
        return init_state(self.task, self.optimizers, key, batch, hyper, self._ema_players)

    @functools.cached_property
    def abstract_state(self) -> TrainState:
        """Shapes and dtypes of the state; computes nothing."""
        return self._initialise.eval_shape(self.root_key, self.example_batch(), self.hyper)  # traced once for both

    @functools.cached_property
    def _initialise(self) -> Callable:
        # To optimise what runs once takes XLA's CPU backend longer than to run it: 5 s against 1 s for ResNet-20.
        options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
        return jax.jit(self._make_state, compiler_options=options)

    def initial_state(self) -> TrainState:
        """The state before the first step, on the host: the same for any number of devices."""
        state = self._initialise(self.root_key, self.example_batch(), self.hyper)
        state = jax.tree.map(np.array, state)
        page = self.page.train
        return take_parameters(state, self.networks, page.init_from, page.init_except) if page.init_from else state

    def example_batch(self, size: int = 2) -> dict[str, np.ndarray]:
        """Zeros of the shapes of a training batch of `size` examples, augmented and scaled."""
        batch = first_batch(self.source("train"), size)
        shapes = jax.eval_shape(self.augment, batch, jax.random.key(0))
        return {name: np.zeros(x.shape, x.dtype) for name, x in shapes.items()}


def _rates_numbers(schedule: dict) -> dict[str, Any]:
    """What is traced of a section `schedule`: all but its name."""
    return {key: value for key, value in schedule.items() if key != "name" and value is not None}


def check_movements(section: ConfigDict, info: Info, task: Task) -> None:
    """Raises PageError for augmentations that would move pixels away from what the task reads or answers."""
    kinds = set(task.outputs.values())
    placed = [name for name, field in of_kind(info.fields, "tokens").items() if field.spatial and "tokens" in kinds]
    moving = [spec for spec in section.augment if moves_pixels(spec)]
    if placed and moving:
        raise PageError(f"data.augment: {moving[0]!r} moves pixels, but the words of {placed[0]!r} name places in them")
    moving = [spec for spec in section.evaluate_augment if moves_pixels(spec)]
    if moving and kinds & {"boxes", "points", "mask"}:
        raise PageError(f"data.evaluate_augment: {moving[0]!r} moves pixels, but the truth and the answers stay")
