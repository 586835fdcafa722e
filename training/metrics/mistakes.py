"""The worst mistakes of a classifier: which examples to look at first."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from training.evaluators import Draw
from training.metrics.readings import Reading


@dataclasses.dataclass(frozen=True)
class Mistakes:
    """An evaluator: `mistakes` [n] int64, the ids of the `count` wrong answers with the largest loss, the worst first.

    It needs `label`, `prediction` and `loss`, [B] each; unlabelled examples (−1) are not mistakes. No more than `count`
    rows and a batch are held.
    """

    count: int = 24

    needs: ClassVar[tuple[str, ...]] = ("label", "prediction", "loss")
    readings: ClassVar[Mapping[str, Reading]] = {}

    def start(self, source: Any, draw: Draw) -> "Worst":
        return Worst(self.count)


class Worst:
    """One pass: the ids and losses of the worst so far."""

    def __init__(self, count: int):
        self._count, self._ids, self._losses = count, np.zeros(0, np.int64), np.zeros(0)

    def add(self, ids: np.ndarray, rows: dict[str, np.ndarray]) -> None:
        wrong = (rows["label"] >= 0) & (rows["label"] != rows["prediction"])
        ids = np.concatenate([self._ids, ids[wrong].astype(np.int64)])
        losses = np.concatenate([self._losses, rows["loss"][wrong].astype(np.float64)])
        order = np.lexsort((ids, -losses))[: self._count]  # of equal losses the smaller id first
        self._ids, self._losses = ids[order], losses[order]

    def compute(self) -> dict[str, np.ndarray]:
        return {"mistakes": self._ids}
