"""How fast it is: the loop against a bare step, the streaming path, and how both scale.

The machine may be shared and noisy. So what is compared runs in short alternating blocks of one process, or in
alternating processes, and what is reported are medians.
"""

import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import jax
from ml_collections import ConfigDict
from rich.console import Console

from experiments.build import Parts
from experiments.page import load, override
from training import loop
from training.errors import TrainingError
from training.records import Records

BLOCK_SECONDS = 1.0
BLOCKS = 12

say = Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print


# Measurements: each returns a row, name -> number.


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


def stream(page: ConfigDict, blocks: int = BLOCKS, seconds: float = BLOCK_SECONDS) -> dict[str, Any]:
    """Images/s from the source through Grain and onto the device, augmented there; no network."""
    parts = Parts(override(page, [("data.resident", "no"), ("devices.kind", "mesh")]))
    augment = jax.jit(lambda feed, step: parts.augment(feed, jax.random.fold_in(jax.random.key(0), step))["image"])
    feeds, flying, rates = parts.feeds(0), deque(), []
    jax.block_until_ready(augment(next(feeds), 0))
    for _ in range(blocks):
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            flying.append(augment(next(feeds), count))
            count += 1
            if len(flying) > loop.AHEAD:
                jax.block_until_ready(flying.popleft())
        jax.block_until_ready(list(flying))
        rates.append(count * page.train.batch_size / (time.perf_counter() - began))
    feeds.close()
    return {"images_per_s": statistics.median(rates)}


def large_source(page: ConfigDict) -> dict[str, Any]:
    """Speed of the streaming path, without and with a network, and the anonymous memory that the process then holds."""
    calls = 50
    seconds = statistics.median(loop_blocks(Parts(page), calls, blocks=5))
    loop_speed = calls * page.train.steps_per_call * page.train.batch_size / seconds
    return {**stream(page, blocks=5), "loop_examples_per_s": loop_speed, "rss_anon_mb": rss_anon() / 2**20}


def step_time(page: ConfigDict, blocks: int = 3, seconds: float = BLOCK_SECONDS) -> dict[str, Any]:
    """Seconds of one train step, under the page's own placement."""
    bare = BareStep(page)
    calls = bare.calls_in(seconds, least=1)
    times = [bare.time(calls) / calls / page.train.steps_per_call for _ in range(blocks)]
    return {
        "step_seconds": statistics.median(times),
        "examples_per_s": page.train.batch_size / statistics.median(times),
    }


# What they need.


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
        frozen, hyper = devices.put(parts.task.frozen()), devices.put(parts.hyper)
        self._arguments = (parts.resident("train"), feed, frozen, hyper)
        self.time(1)  # compiles

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
        loop.train(
            step=devices.train_step(parts.step, state),
            state=state,
            start=0,
            window=[],
            feeds=parts.feeds(0),
            arguments=(parts.resident("train"), devices.put(parts.task.frozen()), devices.put(parts.hyper)),
            devices=devices,
            intervals=loop.Intervals(total, page.train.steps_per_call, log=steps, evaluate=steps, checkpoint=total),
            records=records,
            evaluate=evaluate,
            checkpoints=Unsaved(),
            body={},
            describe=lambda done: {},
            stop=lambda boundary: False,
            examples_per_step=page.train.batch_size,
            count_macs=lambda *_: 0,
        )
        records.close()
    return [end - begin for begin, end in zip(begins, ends[1:], strict=False)]


class Unsaved:
    """Stands where the loop wants checkpoints: here, nothing is to be kept."""

    def save(self, *_):
        pass

    def wait(self):
        pass

    def steps(self):
        return []


def rss_anon() -> int:
    """Bytes of anonymous memory that this process holds: what it allocated itself, without mapped files."""
    status = pathlib.Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def elsewhere(measure: Callable, page: str, overrides: list[tuple[str, str]], **environment: str) -> dict[str, Any]:
    """`measure` of a page in a process of its own, which shares no memory, compiled code or devices with this one."""
    code = "from experiments import bench; bench.answer()"
    command = [sys.executable, "-P", "-c", code, measure.__name__, page, json.dumps(overrides)]
    child = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if child.returncode:
        reason = (child.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise TrainingError(f"bench: {measure.__name__} of {page} with {dict(overrides)} failed: {reason}")
    return json.loads(child.stdout.splitlines()[-1])


def answer() -> None:
    """The other side of `elsewhere`."""
    measure, page, overrides = sys.argv[1:]
    row = globals()[measure](override(load(page), [tuple(pair) for pair in json.loads(overrides)]))
    print(json.dumps(row))


# Suites: each yields rows, and says what they should reach: name -> (at least, at most).

SYNTHETIC = [("data.name", "synthetic"), ("train.batch_size", "128")]
CIFAR, DIGITS, SMALLEST = "resnet20_cifar10", "lenet5_digits", "mlp_digits"


def loop_suite() -> Iterator[dict[str, Any]]:
    """The loop against a bare step, batch 128, resident."""
    pages = {
        CIFAR: (SYNTHETIC, 0.97),
        DIGITS: ([("train.batch_size", "128")], 0.95),
        SMALLEST: ([("train.batch_size", "128")], None),
    }
    for name, (overrides, wanted) in pages.items():
        say(f"loop against step: {name} …")
        row = loop_against_step(override(load(name), [*overrides, ("data.resident", "yes")]))
        yield {"page": name, **row, "wanted": wanted, "ok": wanted is None or row["loop_over_step"] >= wanted}


def stream_suite() -> Iterator[dict[str, Any]]:
    """The streaming path for 32×32 images: Grain batches of 128, crop and flip on the device."""
    say("streaming path …")
    row = stream(override(load(CIFAR), SYNTHETIC))
    cores = len(os.sched_getaffinity(0))
    yield {"image": "32×32×3", "cores": cores, **row, "wanted": 25_000, "ok": row["images_per_s"] >= 25_000}


def scale_suite(rounds: int = 3) -> Iterator[dict[str, Any]]:
    """A source of 1,000,000 images against one of 10,000; step time against batch size and number of CPU devices."""
    sizes, found = (10_000, 1_000_000), {}
    for turn, size in itertools.product(range(rounds), sizes):
        say(f"source of {size:,} images, round {turn + 1} of {rounds} …")
        overrides = [*SYNTHETIC, ("data.num_examples", str(size)), ("data.train", "train"), ("data.resident", "no")]
        overrides += [("model.name", "lenet5")]
        found.setdefault(size, []).append(elsewhere(large_source, CIFAR, overrides))
    medians = {
        size: {name: statistics.median(row[name] for row in rows) for name in rows[0]} for size, rows in found.items()
    }
    small, large = medians.values()
    for size in sizes:
        yield {"source": size, **medians[size]}
    speeds = {name: large[name] / small[name] for name in large if name.endswith("_per_s")}
    memory = large["rss_anon_mb"] - small["rss_anon_mb"]
    ok = all(0.9 <= ratio <= 1.1 for ratio in speeds.values()) and abs(memory) <= 100
    yield {"source": "large over small", **speeds, "rss_anon_mb": memory, "wanted": "±10 %, ±100 MB", "ok": ok}
    for batch in (32, 64, 128, 256, 512, 1024):
        say(f"step time at batch {batch} …")
        overrides = [*SYNTHETIC, ("train.batch_size", str(batch))]
        yield {"batch": batch, **elsewhere(step_time, CIFAR, overrides)}
    for count in (1, 2, 4, 8):
        say(f"step time on {count} CPU devices …")
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}".strip()
        row = elsewhere(step_time, CIFAR, SYNTHETIC, XLA_FLAGS=flags, JAX_PLATFORMS="cpu")
        yield {"devices": count, "batch": 128, **row}


SUITES = {"loop": loop_suite, "stream": stream_suite, "scale": scale_suite}
