"""How close predicted boundaries are to the true ones: boundary F1 and the Hausdorff distance, on the host.

The boundary of a class are its pixels that have a neighbour of another class, or beyond the border of the image, above,
below, left or right.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy import ndimage

from training.metrics.readings import Reading
from training.metrics.sums import ratio


def boundary(region: np.ndarray) -> np.ndarray:
    """region: [H, W] bool -> [H, W] bool, its pixels at the boundary."""
    return region & ~ndimage.binary_erosion(region)


def surface_distances(region: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances in pixels from each boundary pixel of one region to the other's boundary, and back: [n], [m].

    Both regions, [H, W] bool, have at least a pixel.
    """
    edges = boundary(region), boundary(other)
    to = [ndimage.distance_transform_edt(~edge) for edge in edges]
    return to[1][edges[0]], to[0][edges[1]]


@dataclasses.dataclass(frozen=True)
class Surfaces:
    """`boundary_f1` and `hausdorff_95`: means over the pairs of an image and a class.

    `boundary_f1` is the harmonic mean of the shares of predicted and of true boundary pixels that have one of the other
    within `tolerance` pixels (Csurka et al. 2013); pairs count whose class is in either mask, and score 0 where it is
    in one alone. `hausdorff_95` is the larger of the two 95th percentiles of `surface_distances`, in pixels; pairs
    count whose class is in both masks. Classes are from 1 on: 0 is the background. Pixels of −1 are taken as they
    are predicted to be.
    """

    tolerance: float = 2.0
    needs: ClassVar[tuple[str, ...]] = ("prediction", "masks")
    readings: ClassVar[Mapping[str, Reading]] = {
        "boundary_f1": Reading("max", "%"),
        "hausdorff_95": Reading("min", "pixels"),
    }

    def start(self, source: Any, draw: Any) -> "_Sink":
        return _Sink(self.tolerance)


class _Sink:
    def __init__(self, tolerance: float):
        self._tolerance, self._f1, self._distances = tolerance, [], []

    def add(self, ids: np.ndarray, rows: dict[str, np.ndarray]) -> None:
        for predicted, true in zip(rows["prediction"], rows["masks"], strict=True):
            true = np.where(true < 0, predicted, true)
            for k in np.union1d(predicted, true):
                if k > 0:
                    self._add(predicted == k, true == k)

    def _add(self, predicted, true) -> None:
        if not (predicted.any() and true.any()):
            self._f1.append(0.0)
            return
        there, back = surface_distances(predicted, true)
        precision, recall = (there <= self._tolerance).mean(), (back <= self._tolerance).mean()
        self._f1.append(2 * precision * recall / max(precision + recall, 1e-12))
        self._distances.append(max(np.percentile(there, 95), np.percentile(back, 95)))

    def compute(self) -> dict[str, Any]:
        mean = lambda values: float(ratio(np.sum(values), len(values)))
        return {"boundary_f1": mean(self._f1), "hausdorff_95": mean(self._distances)}
