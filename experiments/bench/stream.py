"""The input path: from the source through Grain onto the device, augmented there; no network."""

import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image
from sklearn.datasets import load_sample_images

from experiments.bench.loop import BLOCK_SECONDS, BLOCKS, CIFAR, SYNTHETIC
from experiments.bench.processes import Elsewhere, Process, median_of
from experiments.build.parts import Parts
from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from experiments.terminal import say
from training.errors import TrainingError
from training.loop import AHEAD

PHOTO = (500, 375)  # pixels of a photograph, the median of ImageNet's
LOADER = pathlib.Path(__file__).with_name("torch_loader.py")  # a program for a Python that has torch


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


def stream(page: ConfigDict, blocks: int = BLOCKS, seconds: float = BLOCK_SECONDS) -> dict[str, Any]:
    """Images/s from the source through Grain and onto the device, augmented there; no network."""
    path = Stream(page)
    return {"images_per_s": statistics.median(path.rate(seconds) for _ in range(blocks))}


def streamed(page: ConfigDict, seconds: float = 3 * BLOCK_SECONDS) -> Iterator[dict[str, Any]]:
    """The same again and again, in rows."""
    path = Stream(page)
    while True:
        yield {"images_per_s": path.rate(seconds)}


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
            if len(flying) > AHEAD:
                jax.block_until_ready(flying.popleft())
        jax.block_until_ready(list(flying))
        return count * self._batch_size / (time.perf_counter() - began)


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
