"""How the input path and the step scale: with the size of the source, the batch, the number of CPU devices."""

import os
import pathlib
import statistics
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from experiments.bench.loop import BLOCK_SECONDS, BLOCKS, CIFAR, SYNTHETIC, loop_blocks, step_time
from experiments.bench.processes import Elsewhere, median_of
from experiments.bench.stream import Stream
from experiments.build.parts import Parts
from experiments.terminal import say


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


def large_source(page: ConfigDict, seconds: float = BLOCK_SECONDS) -> Iterator[dict[str, Any]]:
    """After a little training: images/s of the streaming path, and the anonymous memory that the process then holds."""
    loop_blocks(Parts(page), calls=50, blocks=1)
    path = Stream(page)
    while True:
        yield {"images_per_s": path.rate(seconds), "rss_anon_mb": rss_anon() / 2**20}


def rss_anon() -> int:
    """Bytes of anonymous memory that this process holds: what it allocated itself, without mapped files."""
    status = pathlib.Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024
