"""The training loop against its bare step, in short alternating blocks of one process: the machine may be noisy."""

import itertools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from ml_collections import ConfigDict

from experiments.build.parts import Parts
from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from experiments.terminal import say
from training import loop
from training.hardware import release_memory
from training.journal import Intervals, Journal
from training.records import Records

BLOCK_SECONDS = 1.0
BLOCKS = 12

SYNTHETIC = [("data.name", "synthetic"), ("train.batch_size", "128")]
CIFAR, DIGITS, SMALLEST = "resnet20_cifar10", "lenet5_digits", "mlp_digits"


def loop_suite() -> Iterator[dict[str, Any]]:
    """The loop against a bare step, batch 128, resident."""
    pages = {
        CIFAR: (SYNTHETIC, 0.97),
        DIGITS: ([("train.batch_size", "128")], 0.97),
        SMALLEST: ([("train.batch_size", "128")], 0.85),
    }
    for name, (overrides, wanted) in pages.items():
        say(f"loop against step: {name} …")
        row = loop_against_step(override(load(name), [*overrides, ("data.resident", "yes")]))
        yield {"page": name, **row, "wanted": wanted, "ok": row["loop_over_step"] >= wanted}


def loop_against_step(page: ConfigDict, blocks: int = BLOCKS, seconds: float = BLOCK_SECONDS) -> dict[str, Any]:
    """Examples/s of the training loop, and of nothing but its step: jitted, with the same fetch and augmentation.

    The two take turns, `blocks` times for about `seconds` each, and each block of the loop is set against the blocks of
    the bare step on both sides of it.
    """
    bare, alone = BareStep(override(page, [("devices.kind", "mesh")])), []
    calls = bare.calls_in(seconds)
    within = loop_blocks(Parts(page), calls, blocks, between=lambda: alone.append(bare.time(calls)))
    around = [(before + after) / 2 for before, after in itertools.pairwise(alone)]
    low, middle, high = statistics.quantiles([b / a for a, b in zip(within, around, strict=True)], n=4)
    steps = calls * page.train.steps_per_call
    return {
        "loop_examples_per_s": steps * page.train.batch_size / statistics.median(within),
        "step_examples_per_s": steps * page.train.batch_size / statistics.median(alone),
        "loop_over_step": middle,
        "quartiles": [low, high],
        "blocks": blocks,
        "steps_per_block": steps,
    }


def step_time(page: ConfigDict, seconds: float = BLOCK_SECONDS) -> Iterator[dict[str, Any]]:
    """Seconds of one train step, under the page's own placement."""
    bare = BareStep(page)
    calls = bare.calls_in(seconds, least=1)
    while True:
        step = bare.time(calls) / calls / page.train.steps_per_call
        yield {"step_seconds": step, "examples_per_s": page.train.batch_size / step}


class BareStep:
    """The placed train step of a page, called with the same feed again and again."""

    def __init__(self, page: ConfigDict):
        parts = Parts(page)
        devices = parts.devices
        self._state = devices.put_state(parts.initial_state())
        self._step = devices.train_step(parts.step, self._state)
        feeds = parts.feeds(0)
        feed = jax.device_put(next(feeds))
        feeds.close()
        frozen, hyper = parts.placed_frozen, devices.put(parts.hyper)
        self._arguments = (parts.resident("train"), feed, frozen, hyper)
        self.parameters = number_of(self._state.params)
        self.first_seconds = self.time(1)  # with compilation
        release_memory()  # as the loop does

    def time(self, calls: int) -> float:
        """Seconds that `calls` calls take."""
        began = time.perf_counter()
        for _ in range(calls):
            self._state, _ = self._step(self._state, *self._arguments)
        jax.block_until_ready(self._state)
        return time.perf_counter() - began

    def calls_in(self, seconds: float, least: int = 4) -> int:
        """How many calls take about so long; several, so that the dispatch of one may hide behind another."""
        return max(least, round(seconds / (self.time(least) / least)))


def loop_blocks(parts: Parts, calls: int, blocks: int, between: Callable[[], None] = lambda: None) -> list[float]:
    """Seconds that the training loop takes for each block of `calls` dispatches; `between` is called after each.

    A block goes from the end of one evaluation (which is `between`) to the begin of the next, so it holds whatever the
    loop does: reading, dispatch, metrics, records. The first block compiles, and is left out.
    """
    page, devices = parts.page, parts.devices
    steps = calls * page.train.steps_per_call
    total = (blocks + 1) * steps
    ends, begins = [], []

    def evaluate(state):
        ends.append(time.perf_counter())
        between()
        begins.append(time.perf_counter())
        return {}, None

    state = devices.put_state(parts.initial_state())
    with tempfile.TemporaryDirectory() as folder:
        records = Records(pathlib.Path(folder), total, 0)
        intervals = Intervals(total, page.train.steps_per_call, log=steps, evaluate=steps, checkpoint=total)
        arguments = (parts.resident("train"), parts.placed_frozen, devices.put(parts.hyper))
        placed = loop.Alone(devices.train_step(parts.step, state), state, arguments, devices, evaluate)
        progress = loop.Progress(Journal(intervals, Unsaved(), records, window=[], body={}), 0)
        examples = page.train.batch_size
        loop.train(placed, [progress], feeds=parts.feeds(0), stop=lambda _: False, examples_per_step=examples)
        if progress.error:
            raise progress.error
        records.close()
    return [end - begin for begin, end in zip(begins, ends[1:], strict=False)]


class Unsaved:
    """Checkpoints that keep nothing."""

    def save(self, *_):
        pass

    def wait(self):
        pass

    def steps(self):
        return []


def number_of(params) -> int:
    return sum(x.size for x in jax.tree.leaves(params))
