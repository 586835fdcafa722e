"""How fast it is: the loop against a bare step, the streaming path, how both scale, and the start.

The machine may be shared and noisy. So what is compared runs in short alternating blocks of one process, or in
alternating processes, and what is reported are medians.
"""

import importlib
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import matplotlib
import numpy as np
from ml_collections import ConfigDict
from PIL import Image
from sklearn.datasets import load_sample_images

from data.prepare import find_builder
from experiments.build.parts import Parts
from experiments.launch import FOVEA, flags
from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from experiments.pages.stored import SUMMARY
from experiments.terminal import say
from training import loop
from training.errors import TrainingError
from training.hardware import release_memory
from training.journal import Intervals, Journal
from training.records import Records

BLOCK_SECONDS = 1.0
BLOCKS = 12
STARTS = 5
PHOTO = (500, 375)  # pixels of a photograph, the median of ImageNet's
LOADER = pathlib.Path(__file__).with_name("torch_loader.py")  # a program for a Python that has torch


# Measurements: each gives a row, name -> number, or row after row.


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
    path = Stream(page)
    return {"images_per_s": statistics.median(path.rate(seconds) for _ in range(blocks))}


def streamed(page: ConfigDict, seconds: float = 3 * BLOCK_SECONDS) -> Iterator[dict[str, Any]]:
    """The same again and again, in rows."""
    path = Stream(page)
    while True:
        yield {"images_per_s": path.rate(seconds)}


def large_source(page: ConfigDict, seconds: float = BLOCK_SECONDS) -> Iterator[dict[str, Any]]:
    """After a little training: images/s of the streaming path, and the anonymous memory that the process then holds."""
    loop_blocks(Parts(page), calls=50, blocks=1)
    path = Stream(page)
    while True:
        yield {"images_per_s": path.rate(seconds), "rss_anon_mb": rss_anon() / 2**20}


def step_time(page: ConfigDict, seconds: float = BLOCK_SECONDS) -> Iterator[dict[str, Any]]:
    """Seconds of one train step, under the page's own placement."""
    bare = BareStep(page)
    calls = bare.calls_in(seconds, least=1)
    while True:
        step = bare.time(calls) / calls / page.train.steps_per_call
        yield {"step_seconds": step, "examples_per_s": page.train.batch_size / step}


def startup(page: str, overrides: list[tuple[str, str]], cache: pathlib.Path) -> dict[str, float]:
    """Seconds from the start of `fovea train` to the end of its first step, with the user's cache in a folder."""
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    environment |= {"XDG_CACHE_HOME": str(cache), "MPLCONFIGDIR": matplotlib.get_cachedir()}
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder) / "run"
        command = [*FOVEA, "train", "--config", page, "--workdir", str(workdir), *flags([*ONE_STEP, *overrides])]
        run(command, page, environment)
        return {"startup_seconds": json.loads((workdir / SUMMARY).read_text())["startup_seconds"]}


# What they need.


class Stream:
    """The streaming path of a page: source, Grain, device, augmentation."""

    def __init__(self, page: ConfigDict):
        parts = Parts(override(page, [("data.resident", "no"), ("devices.kind", "mesh")]))
        key = jax.random.key(0)
        self._augment = jax.jit(lambda feed, step: parts.augment(feed, jax.random.fold_in(key, step))["image"])
        self._feeds, self._batch_size = parts.feeds(0), page.train.batch_size
        jax.block_until_ready(self._augment(next(self._feeds), 0))

    def rate(self, seconds: float) -> float:
        """Images/s over about so long."""
        began, count, flying = time.perf_counter(), 0, deque()
        while time.perf_counter() - began < seconds:
            flying.append(self._augment(next(self._feeds), count))
            count += 1
            if len(flying) > loop.AHEAD:
                jax.block_until_ready(flying.popleft())
        jax.block_until_ready(list(flying))
        return count * self._batch_size / (time.perf_counter() - began)


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


def rss_anon() -> int:
    """Bytes of anonymous memory that this process holds: what it allocated itself, without mapped files."""
    status = pathlib.Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


class Process:
    """A process that answers every line with a row, as JSON, and rests until it is asked."""

    def __init__(self, what: str, command: list[str], **environment: str):
        self._what, pipe = what, subprocess.PIPE
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed below
        environment = {**os.environ, **environment}
        self._child = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self._errors, env=environment, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.kill()
        self._child.communicate()
        self._errors.close()

    def ask(self) -> dict[str, Any]:
        """The next row. Raises TrainingError with the last line that a process which failed has written."""
        try:
            self._child.stdin.write("\n")
            self._child.stdin.flush()
            return json.loads(self._child.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError) as error:
            self._child.wait()
            self._errors.seek(0)
            raise TrainingError(f"bench: {self._what} failed: {_complaint(self._errors.read())}") from error


class Elsewhere(Process):
    """A measurement in a process of its own, which shares no memory, compiled code or devices with this one."""

    def __init__(self, measure: Callable, page: str, overrides: list[tuple[str, str]], **environment: str):
        code = "from experiments.bench.loop import answer; answer()"
        name = f"{measure.__module__}:{measure.__name__}"
        command = [sys.executable, "-P", "-c", code, name, page, json.dumps(overrides)]
        super().__init__(f"{measure.__name__} of {page} with {dict(overrides)}", command, **environment)


def answer() -> None:
    """The other side of `Elsewhere`: a row for each line."""
    name, page, overrides = sys.argv[1:]
    module, _, function = name.partition(":")
    measure = getattr(importlib.import_module(module), function)
    rows = measure(override(load(page), [tuple(pair) for pair in json.loads(overrides)]))
    for _ in sys.stdin:
        print(json.dumps(next(rows)), flush=True)


def run(command: Sequence[str], what: str, environment: Mapping[str, str] | None = None) -> str:
    """What a process prints. Raises TrainingError with the last line that one which failed has written."""
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    except OSError as error:
        raise TrainingError(f"bench: {what}: {error.strerror}") from error
    if done.returncode:
        raise TrainingError(f"bench: {what} failed: {_complaint(done.stderr)}")
    return done.stdout.strip()


def _complaint(errors: str) -> str:
    return (errors.strip().splitlines() or ["no reason given"])[-1]


def median_of(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


# Suites: each yields its rows as they are measured.

SYNTHETIC = [("data.name", "synthetic"), ("train.batch_size", "128")]
CIFAR, DIGITS, SMALLEST = "resnet20_cifar10", "lenet5_digits", "mlp_digits"
# No more than the first step, and nothing to evaluate.
ONE_STEP = [*((f"train.{key}", "1") for key in ("steps", "log_every", "evaluate_every", "checkpoint_every"))]
ONE_STEP += [("data.validation", ""), ("data.test", "")]


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


def stream_suite(torch: str = sys.executable) -> Iterator[dict[str, Any]]:
    """The streaming path: 32×32 images from memory, and JPEG files beside torch's DataLoader.

    Args:
      torch: a Python that has torch and torchvision; without them the files are read by fovea alone.
    """
    say("streaming path …")
    row = stream(override(load(CIFAR), SYNTHETIC))
    cores = len(os.sched_getaffinity(0))
    yield {"image": "32×32×3", "cores": cores, **row, "wanted": 25_000, "ok": row["images_per_s"] >= 25_000}
    with tempfile.TemporaryDirectory() as folder:
        write_photos(pathlib.Path(folder))
        yield from _files_suite(folder, torch, cores)


def _files_suite(folder: str, torch: str, cores: int) -> Iterator[dict[str, Any]]:
    say("JPEG files, in turns with torch's DataLoader …")
    side, batch = 224, 64
    files = [("data.name", f"folder:{folder}"), ("data.image_size", str(side)), ("data.crop", "random")]
    files += [("data.train", "train"), ("data.validation", ""), ("data.augment", "flip"), ("data.mean", "0.5,0.5,0.5")]
    files += [("data.std", "0.25,0.25,0.25"), ("train.batch_size", str(batch)), ("data.test", "train")]
    theirs = [torch, "-P", str(LOADER), folder, str(side), str(batch)]
    image = f"JPEG {'×'.join(map(str, PHOTO))} to {side}×{side}"
    with Elsewhere(streamed, "resnet50_imagenet", files) as ours, Process("torch's DataLoader", theirs) as other:
        turns = []
        try:
            turns = [(ours.ask(), other.ask()) for _ in range(BLOCKS // 2 + 1)][1:]
        except TrainingError as error:
            yield {"beside": f"nothing: {error}"}
            own = [ours.ask() for _ in range(BLOCKS // 2)]
        else:
            own = [row for row, _ in turns]
    for name, rows in {"fovea": own, "torch": [row for _, row in turns]}.items():
        if rows:
            each = median_of(rows)["images_per_s"]
            yield {"image": image, "by": name, "images_per_s": each, "images_per_s_and_core": each / cores}
    if turns:
        ratio = statistics.median(a["images_per_s"] / b["images_per_s"] for a, b in turns)
        yield {"image": image, "against": "torch", "ratio": ratio, "wanted": 1.2, "ok": ratio >= 1.2}


def write_photos(folder: pathlib.Path, count: int = 256) -> None:
    """JPEG files of the size PHOTO in two classes, cut out of scikit-learn's two photographs."""
    random = np.random.default_rng(0)
    for label, image in zip(("china", "flower"), load_sample_images().images, strict=True):
        (folder / label).mkdir()
        for i in range(count // 2):
            height, width = (int(n * random.uniform(0.6, 1.0)) for n in image.shape[:2])
            top, left = (int(random.integers(n - m + 1)) for n, m in zip(image.shape[:2], (height, width), strict=True))
            part = Image.fromarray(image[top : top + height, left : left + width])
            part.resize(PHOTO).save(folder / label / f"{i}.jpg", quality=90)


def scale_suite() -> Iterator[dict[str, Any]]:
    """A source of 1,000,000 images against one of 10,000; step time against batch size and number of CPU devices."""
    say("sources of 10,000 and 1,000,000 images, in turns …")
    streamed = [*SYNTHETIC, ("data.train", "train"), ("data.resident", "no"), ("model.name", "lenet5")]
    of = lambda size: Elsewhere(large_source, CIFAR, [*streamed, ("data.num_examples", str(size))])
    with of(10_000) as small, of(1_000_000) as large:
        turns = [(small.ask(), large.ask()) for _ in range(BLOCKS + 1)][1:]
    few, many = (median_of(list(rows)) for rows in zip(*turns, strict=True))
    yield {"source": "10,000", **few}
    yield {"source": "1,000,000", **many}
    speed = statistics.median(large["images_per_s"] / small["images_per_s"] for small, large in turns)
    memory = many["rss_anon_mb"] - few["rss_anon_mb"]
    ok = 0.9 <= speed <= 1.1 and abs(memory) <= 100
    yield {"compared": "large to small", "speed": speed, "rss_anon_mb": memory, "wanted": "1 ± 0.1, ± 100 MB", "ok": ok}
    for batch in (32, 64, 128, 256, 512, 1024):
        say(f"step time at batch {batch} …")
        with Elsewhere(step_time, CIFAR, [*SYNTHETIC, ("train.batch_size", str(batch))]) as child:
            yield {"batch": batch, **median_of([child.ask() for _ in range(3)])}
    for count in (1, 2, 4, 8):
        say(f"step time on {count} CPU devices …")
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}".strip()
        with Elsewhere(step_time, CIFAR, SYNTHETIC, XLA_FLAGS=flags, JAX_PLATFORMS="cpu") as child:
            yield {"devices": count, "batch": 128, **median_of([child.ask() for _ in range(3)])}


def startup_suite() -> Iterator[dict[str, Any]]:
    """`fovea train` from the start of its process to the end of the first step: cold, and when the page ran before."""
    pages = {DIGITS: [], CIFAR: SYNTHETIC[:1], "vae_mnist": []}
    if not find_builder("mnist").is_prepared():
        say("vae_mnist is left out: tfds:mnist is not prepared")
        del pages["vae_mnist"]
    for name, overrides in pages.items():
        say(f"start-up of {name} …")
        with tempfile.TemporaryDirectory() as cache:
            cold = startup(name, overrides, pathlib.Path(cache))
            warm = median_of([startup(name, overrides, pathlib.Path(cache)) for _ in range(STARTS)])
        yield {"page": name, "cache": "empty", **cold}
        yield {"page": name, "cache": "warm", **warm, "wanted": 8.0, "ok": warm["startup_seconds"] < 8.0}
