"""Generated images measured against the training images, in the features of a network or in their pixels."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.build.parts import Parts
from experiments.evaluation.feature_networks import feature_network
from models.interfaces import Conditional
from training.errors import TrainingError
from training.evaluators import Draw
from training.metrics import generative as distances
from training.metrics.readings import Reading
from training.samples import as_saved

REFERENCE = 10_000  # real images that represent the training split
NEIGHBOURS_OF_EACH = 3  # k of precision and recall
NEIGHBOURS = 1_000  # images whose nearest training image is searched


def judge(features: str, samples: int = 10_000, *, parts: Parts) -> "SampleQuality":
    """The quality of `samples` generated images.

    Args:
      features: a classifier's work directory, "inception:FILE.npz" or "pixels".

    Raises:
      PageError: `features` does not name a usable feature network.
      TrainingError: the task makes no images.
    """
    makes = parts.task.makes
    if makes is None or makes.kind not in ("image", "array"):
        raise TrainingError(f"task {parts.page.task.name!r} makes no images that could be judged")
    return SampleQuality(parts, feature_network(features, parts), samples)


@dataclasses.dataclass(frozen=True)
class SampleQuality:
    """An Evaluator of what a state draws; it needs no outputs for the examples of the split.

    In the network's features: `fd`, `kd`, `precision` and `recall`; `fd_floor` and `kd_floor` are those of the real
    images of the split. With Inception's features `fd` is called `fid`. `nearest` is the median distance, in pixels,
    from samples to the nearest training image, `nearest_floor` that from real images: a model that memorises scores
    lower. A network that classifies also gives `covered`, the number of classes that samples among the real images
    cover, and for a conditional generator `recognised`, the share of samples recognised as their class, and
    `recognised_per_class`.

    Images are judged as they would be saved: clipped, and rounded to 8 bits.

    Attributes:
      samples: how many images are drawn, and how many of the split they are compared with: both distances grow as the
        images get fewer.
    """

    parts: Parts
    network: Any
    samples: int
    needs: tuple[str, ...] = ()

    @property
    def conditional(self) -> bool:
        networks = self.parts.networks.values()
        return any(isinstance(network, Conditional) and "label" in network.conditions for network in networks)

    @property
    def readings(self) -> Mapping[str, Reading]:
        distance = self.network.distance
        found = {
            distance: Reading("min"),
            f"{distance}_floor": Reading(),
            "kd": Reading("min"),
            "kd_floor": Reading(),
            "precision": Reading("max", "%"),
            "recall": Reading("max", "%"),
            "nearest": Reading(),
            "nearest_floor": Reading(),
        }
        if self.network.classify:
            found["covered"] = Reading("max")
            if self.conditional:
                found["recognised"] = Reading("max", "%")
                found["recognised_per_class"] = Reading("max", "%", each=True)
        return found

    def start(self, source: Any, draw: Draw) -> "_Drawn":
        """Raises TrainingError where there are too few images for the distances, with the least that works."""
        least = max(self.network.width, NEIGHBOURS_OF_EACH) + 1
        given = {"samples": self.samples, "training images": min(len(self.parts.source("train")), REFERENCE)}
        for what, count in given.items():
            if count < least:
                compares = f"the judge {self.network.name!r} compares {self.network.width} features"
                raise TrainingError(f"{compares}: it needs {least} {what} or more, there are {count}")
        if len(source) < self.samples:
            raise TrainingError(
                f"the judge compares {self.samples} samples with as many images of the split, which has {len(source)}:"
                " ask for fewer samples (train.judge_samples)"
            )
        return _Drawn(self, source, draw)


@dataclasses.dataclass(frozen=True)
class _Drawn:
    quality: SampleQuality
    source: Any
    draw: Draw

    def add(self, ids: np.ndarray, rows: dict[str, np.ndarray]) -> None:
        """The samples do not depend on the examples."""

    def compute(self) -> dict[str, Any]:
        parts, network, count = self.quality.parts, self.quality.network, self.quality.samples
        train, ids = parts.source("train"), np.arange(count, dtype=np.int32)
        kind = parts.task.makes.kind
        fake = self.draw({"id": ids})[kind]
        fake = as_saved(fake) if kind == "image" else fake
        if not np.isfinite(fake).all():
            return {name: np.nan for name, reading in self.quality.readings.items() if not reading.each}
        known, held_out = real(train, spread(train)), real(self.source, spread(self.source, count))
        features = {
            "fake": network.features(fake),
            "train": network.features(known),
            "real": network.features(held_out),
        }
        moments = {name: distances.moments(x) for name, x in features.items()}
        good = distances.among(features["fake"], features["train"])
        away = lambda images: float(np.median(nearest(images[:NEIGHBOURS], train)))
        numbers = {
            "judge": network.name,
            network.distance: distances.frechet(moments["fake"], moments["train"]),
            f"{network.distance}_floor": distances.frechet(moments["real"], moments["train"]),
            "kd": distances.kernel_distance(features["fake"], features["train"]),
            "kd_floor": distances.kernel_distance(features["real"], features["train"]),
            "precision": float(good.mean()),
            "recall": float(distances.among(features["train"], features["fake"]).mean()),
            "nearest": away(fake),
            "nearest_floor": away(held_out),
        }
        if not network.classify:
            return numbers
        labels, classes = network.classify(fake), len(parts.info.classes)
        numbers["covered"] = distances.covered(labels, good & (labels >= 0), classes)
        if self.quality.conditional:
            hits = labels == ids % classes
            per_class = np.bincount(ids % classes, hits) / np.bincount(ids % classes)
            numbers |= {"recognised": float(hits.mean()), "recognised_per_class": per_class}
        return numbers


def spread(source, count: int = REFERENCE) -> np.ndarray:
    """`count` ids from all over a split, or all of them: the split may be in the order of its classes."""
    return np.linspace(0, len(source) - 1, min(count, len(source))).astype(np.int64)


def real(source, ids: np.ndarray) -> np.ndarray:
    """Images [N, H, W, C] of a split, in [0, 1]."""
    images = source.fetch(ids)["image"]
    return images / np.float32(255) if images.dtype == np.uint8 else images


def nearest(images: np.ndarray, source) -> np.ndarray:
    """The distance from each image to the nearest one in a split, [N]."""
    flat = lambda x: x.reshape(len(x), -1)
    blocks = np.array_split(np.arange(len(source)), -(-len(source) // REFERENCE))
    return np.min([distances.nearest(flat(images), flat(real(source, ids))) for ids in blocks], axis=0)
