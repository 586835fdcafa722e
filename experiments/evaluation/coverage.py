"""Generated images against as many real ones, by what the judge of samples does not measure."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.build.parts import Parts
from experiments.evaluation.feature_networks import feature_network
from experiments.evaluation.samples import real, spread
from training.errors import TrainingError
from training.evaluators import Draw
from training.metrics import generative as distances
from training.metrics.readings import Reading
from training.samples import as_saved

NEIGHBOURS_OF_EACH = 5  # k of density and coverage, as in the paper


def coverage(features: str, samples: int = 10_000, block: int = 1000, *, parts: Parts) -> "Coverage":
    """How `samples` generated images cover the real ones.

    Args:
      features: a classifier's work directory, "inception:FILE.npz" or "pixels".
      block: images of one estimate of the kernel distance.

    Raises:
      PageError: `features` does not name a usable feature network.
      TrainingError: the task makes no images, or there are too few samples.
    """
    makes = parts.task.makes
    if makes is None or makes.kind not in ("image", "array"):
        raise TrainingError(f"task {parts.page.task.name!r} makes no images that could be compared")
    if not 1 < block <= samples or samples <= NEIGHBOURS_OF_EACH:
        raise TrainingError(f"coverage compares {samples} samples in blocks of {block}: more samples than a block has")
    return Coverage(parts, feature_network(features, parts), samples, block)


@dataclasses.dataclass(frozen=True)
class Coverage:
    """An Evaluator of what a state draws; it needs no outputs for the examples of the split.

    In the network's features, against as many images of the split: `kd_blocks`, the kernel distance, and `kd_error`,
    its standard error; `density` and `coverage`; `two_sample`, the accuracy of a nearest neighbour that tells samples
    from real images.
    """

    parts: Parts
    network: Any
    samples: int
    block: int
    needs: tuple[str, ...] = ()

    @property
    def readings(self) -> Mapping[str, Reading]:
        return {
            "kd_blocks": Reading("min"),
            "kd_error": Reading(),
            "density": Reading("max"),
            "coverage": Reading("max", "%"),
            "two_sample": Reading("min", "%"),
        }

    def start(self, source: Any, draw: Draw) -> "_Drawn":
        """Raises TrainingError where the split has fewer images than there are samples."""
        if len(source) < self.samples:
            raise TrainingError(
                f"coverage compares {self.samples} samples with as many images of the split, which has {len(source)}:"
                " ask for fewer samples"
            )
        return _Drawn(self, source, draw)


@dataclasses.dataclass(frozen=True)
class _Drawn:
    of: Coverage
    source: Any
    draw: Draw

    def add(self, ids: np.ndarray, rows: dict[str, np.ndarray]) -> None:
        """The samples do not depend on the examples."""

    def compute(self) -> dict[str, Any]:
        kind = self.of.parts.task.makes.kind
        fake = self.draw({"id": np.arange(self.of.samples, dtype=np.int32)})[kind]
        fake = as_saved(fake) if kind == "image" else fake
        if not np.isfinite(fake).all():
            return dict.fromkeys(self.of.readings, np.nan)
        known = real(self.source, spread(self.source, self.of.samples))
        x, y = self.of.network.features(fake), self.of.network.features(known)
        distance, error = distances.kernel_distance_of_blocks(x, y, self.of.block)
        density, covered = distances.density_and_coverage(x, y, NEIGHBOURS_OF_EACH)
        return {
            "kd_blocks": distance,
            "kd_error": error,
            "density": density,
            "coverage": covered,
            "two_sample": distances.two_sample_accuracy(x, y),
        }
