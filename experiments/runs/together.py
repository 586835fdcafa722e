"""Runs that differ in numbers alone, trained as one program.

Each keeps a work directory as if it had been trained alone: page, records, checkpoints. So one that was begun here may
go on alone, and the other way round. The program has a slot for each run; when a run ends, is pruned or breaks,
another takes its slot, wherever the rest are: every slot counts its own steps.
"""

import contextlib
import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.evaluation.evaluations import Measures
from experiments.pages.stored import canonical, flat
from experiments.runs.run import Run, Watch
from training import loop, parallel
from training.errors import TrainingError
from training.evaluate import evaluate_slots, variables


@dataclasses.dataclass
class Trial:
    """A run that takes part.

    Attributes:
      watch: called with (steps done, numbers) of every record; what it raises, `loop.Pruned` for one, ends the run.
      ended: called with the summary of the run, or with what ended it before its time.
      draw: whether its pictures are drawn at the end.
      quiet: whether its records are not printed.
    """

    run: Run
    watch: Watch = None
    ended: Callable[[dict[str, Any] | Exception], None] = lambda outcome: None
    draw: bool = True
    quiet: bool = True


def signature(page: Mapping[str, Any], numbers: Container[str]) -> dict[str, Any]:
    """What runs of one program have in common: the page without the values of its `numbers` and its seed."""
    keys = flat(canonical(page)).items()
    return {key: np.shape(value) if key in numbers else value for key, value in keys if key != "train.seed"}


def use_cores(page: ConfigDict) -> None:
    """On a CPU each core becomes a device, as far as a batch divides by them. To be called before jax is used."""
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    cores = len(os.sched_getaffinity(0))
    shared = math.gcd(page.train.batch_size, page.train.evaluate_batch_size)
    with contextlib.suppress(RuntimeError):  # too late
        jax.config.update("jax_num_cpu_devices", max(n for n in range(1, cores + 1) if shared % n == 0))


class Program:
    """The step and the evaluation of several runs at once; `like` is one of them."""

    def __init__(self, like: Run, slots: int):
        parts = like.parts
        self.parts, self.task = parts, parts.task
        self.devices = parallel.slots(slots)
        self.step = {together: self.devices.train_step(parts.step, together) for together in (False, True)}
        self.evaluations = like.evaluations
        self.frozen = self.devices.put(parts.frozen)

    def measures(self, name: str) -> Measures:
        return self.evaluations.measures(self.parts.sets[name].also)

    @functools.cache  # noqa: B019 - lives as long as the program
    def evaluate_step(self, name: str) -> Callable:
        """The evaluate step of a set, for all slots."""
        return self.devices.evaluate_step(self.evaluations.step(self.measures(name)))

    @functools.cache  # noqa: B019 - lives as long as the program
    def resident(self, role: str) -> dict[str, Any]:
        return self.devices.put(self.parts.resident(role))

    def train(self, trials: Iterator[Trial], stop: Callable[[bool], bool]) -> None:
        """Trains what `trials` gives, which is asked for another whenever a slot is free.

        Raises Interrupted after `stop`; all are saved then.
        """
        slots: list[Slot] = []
        try:
            while self._fill(slots, trials):
                stretch = Stretch(self, slots)
                examples = self.parts.page.train.batch_size
                with contextlib.closing(stretch.feeds()) as feeds:
                    loop.train(stretch, slots, feeds=feeds, stop=stop, examples_per_step=examples)
                stretch.release()
                stopped = any(isinstance(slot.error, loop.Interrupted) for slot in slots)
                for slot in [slot for slot in slots if slot.ended]:
                    slots.remove(slot)
                    slot.end()
                if stopped:
                    raise loop.Interrupted
        except BaseException as error:  # no fault of a single run: it ends all that are still here
            for slot in slots:
                slot.abandon(error)
            raise

    def _fill(self, slots: list["Slot"], trials: Iterator[Trial]) -> bool:
        """Gives free slots to further trials; False when none is taken, and none is left to take one."""
        while len(slots) < self.devices.count and (trial := next(trials, None)) is not None:
            try:
                slot = Slot(trial)
            except TrainingError as error:
                trial.ended(error)
                continue
            if slot.done < self.parts.intervals.steps:
                slots.append(slot)
            else:  # killed between its last checkpoint and its end
                slot.end()
        return bool(slots)


class Slot(loop.Progress):
    """A trial that is trained, with its work directory open and its state on the host."""

    def __init__(self, trial: Trial):
        self.trial, self.run, self.key = trial, trial.run, trial.run.parts.root_key
        self._open = contextlib.ExitStack()
        opened = self.run.opened(time.perf_counter(), trial.watch, trial.quiet)
        done, take, journal = self._open.enter_context(opened)
        self.state = take()
        super().__init__(journal, done)

    def end(self) -> None:
        """After its last step, or what has ended it before: the work directory says which."""
        outcome, checkpoints = self.error, self.journal.checkpoints
        try:
            with self._open:
                checkpoints.wait()
                if outcome is not None:
                    raise outcome
                outcome = self.run.finish(self.journal, self.trial.draw)
        except (TrainingError, loop.Pruned, loop.Interrupted) as error:
            outcome = error
        checkpoints.close()
        self.trial.ended(outcome)

    def abandon(self, error: BaseException) -> None:
        self._open.__exit__(type(error), error, error.__traceback__)


class Stretch:
    """The states of the slots on the devices, from when one slot gets a trial until one of them is free again.

    It is the `loop.Placed` of the slots.
    """

    def __init__(self, program: Program, slots: list[Slot]):
        self.program, self.devices, self.slots = program, program.devices, list(slots)
        self.places, self.load = self.devices.places(len(slots)), self.devices.load(len(slots))
        self.states = self._put_all([slot.state for slot in slots])
        self.hypers = self._put_all([slot.run.parts.hyper for slot in slots])
        self.keys = self._put_all([slot.key for slot in slots])
        # The same seed and as many steps done: the same batches, which are read once.
        self.together = len({(slot.done, slot.key.tobytes()) for slot in slots}) == 1
        self._forget()

    def feeds(self) -> Iterator[tuple[Any, dict]]:
        """(feeds of the slots, what they have in common), from the steps after those that are done on."""
        first = self.slots[0]
        with contextlib.ExitStack() as stack:
            read = [first] if self.together else self.slots
            each = [stack.enter_context(contextlib.closing(slot.run.parts.host_feeds(slot.done))) for slot in read]
            for feeds in zip(*each, strict=True):
                if self.together:
                    yield {}, {"feed": feeds[0], "key": first.key, "step": np.int32(first.done)}
                else:
                    yield self._put_all(feeds), {}

    def count_macs(self, feed):
        return 0

    def advance(self, feed):
        self._forget()
        program, (feeds, common) = self.program, feed
        step, shared = program.step[self.together], (program.resident("train"), program.frozen, common)
        self.states, metrics = step(self.load, self.states, feeds, self.hypers, *shared)
        return metrics

    def numbers(self, recent):
        host = self.devices.get(recent)
        return [[_of(metrics, place) for metrics in host] for place in self.places]

    def evaluate(self, n):
        """The record and the score of one slot, from the sets that are due after its steps."""
        slot = self.slots[n]
        numbers = {name: self._measured(name)[self.places[n]] for name in slot.run.due(slot.done)}
        return slot.run.ranked(numbers, self.states)

    def state(self, n):
        return _of(self._host(), self.places[n])

    def release(self) -> None:
        """Gives each slot its state on the host."""
        for n, slot in enumerate(self.slots):
            slot.state = self.state(n)

    def _forget(self) -> None:
        """What was read of the states is of the last step: it is read at most once per step, for all slots."""
        self._host = functools.cache(lambda: self.devices.get(self.states))
        self._measured = functools.cache(self._measure)

    def _put_all(self, trees: Sequence) -> Any:
        """What the slots have, stacked; a free slot holds a copy that nothing uses."""
        each = [trees[0]] * self.devices.count
        for place, tree in zip(self.places, trees, strict=True):
            each[place] = tree
        return self.devices.put_all(each)

    def _measure(self, name: str) -> dict[int, dict[str, Any]]:
        """place -> the numbers of a set, of every slot that holds a run."""
        program, (params, stats, _) = self.program, variables(self.states)
        step, resident = program.evaluate_step(name), program.resident(name)

        def draws(n, slot):
            state = lambda: slot.run.devices.put_state(self.state(n))
            return lambda condition: slot.run.snapshots.draw(state(), condition)

        return evaluate_slots(
            lambda feed: step(self.load, params, stats, self.keys, resident, feed, program.frozen),
            map(self.devices.put, program.parts.evaluation_batches(name)),
            self.devices,
            {self.places[n]: draws(n, slot) for n, slot in enumerate(self.slots)},
            task=program.measures(name).task,
            source=program.parts.source(name),
            evaluators=program.measures(name).evaluators,
        )


def _of(tree, place: int):
    """What the slot at a place has of a stacked pytree."""
    return jax.tree.map(lambda x: x[place], tree)
