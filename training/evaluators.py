"""The protocol of metrics that cannot be sums: they are computed on the host, from rows added batch by batch."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from training.metrics.readings import Reading

# ({"id": [N], …}) -> what the evaluated state makes, on the host: {"image": [N, H, W, C] in [0, 1]} or {"tokens": …}.
Draw = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


class Sink(Protocol):
    """The state of one evaluator during one pass over one split."""

    def add(self, ids: np.ndarray, rows: dict[str, np.ndarray]) -> None:
        """Takes the rows of a batch.

        Args:
          ids: [n], which examples of the source these are; padding is already cut off. Every example comes once.
          rows: the evaluator's `needs` by name, [n, ...] each.
        """

    def compute(self) -> dict[str, Any]:
        """{name: number or array}, once every row of the split has been added."""


class Evaluator(Protocol):
    """A metric on the host: mean average precision, caption scores, a Fréchet distance, the worst mistakes.

    Attributes:
      needs: what is brought to the host for every example: outputs of `Task.predict`, or fields of the prepared batch
        where there is no output of this name.
      readings: name -> Reading of every number that a sink's `compute` gives, and, with `each`, of the entries of its
        arrays.
    """

    needs: tuple[str, ...]
    readings: Mapping[str, Reading]

    def start(self, source: Any, draw: Draw) -> Sink:
        """Begins a pass over a split. It is also called before training, to find out whether the split can be measured.

        Args:
          source: the split's data.source.Source, for the ground truth on the host.
          draw: makes samples with the state that is evaluated. Only a sink that judges samples calls it.

        Raises:
          TrainingError: the split cannot be measured, with the least that works.
        """
