"""What is read of the data: whole splits for the devices, and the feeds of training and of evaluation, on the host.

A feed is what the host hands over for a dispatch: the ids of examples where the split is resident, else the examples.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from data.pipeline import EvaluationFeed, Feed, resident_arrays
from data.source import Source
from experiments.errors import PageError


def read_resident(section: ConfigDict, source: Source) -> dict[str, np.ndarray]:
    """The arrays of a whole split, or {} where it is streamed.

    Args:
      section: the page's `data`, whose `resident` is "auto", "yes" or "no".
    """
    mode, arrays = section.resident, None
    if mode not in ("auto", "yes", "no"):
        raise PageError(f"data.resident={mode!r}: 'auto', 'yes' or 'no'")
    if mode != "no":
        arrays = resident_arrays(source)
    if mode == "yes" and arrays is None:
        raise PageError(f"data.resident='yes', but {section.name} must be streamed")
    return arrays or {}


def train_feed(page: ConfigDict, source: Source, resident: bool) -> Feed:
    """Batches of training by their number; this process reads its share of each."""
    train = page.train
    return Feed(source, train.batch_size, seed=train.seed, sampler=page.data.sampler, **_share(resident))


def evaluation_feed(page: ConfigDict, source: Source, resident: bool) -> EvaluationFeed:
    """Batches that hold every example of a split once; this process reads its share of each."""
    return EvaluationFeed(source, page.train.evaluate_batch_size, **_share(resident))


def _share(resident: bool) -> dict[str, Any]:
    return dict(resident=resident, process_index=jax.process_index(), process_count=jax.process_count())


@dataclasses.dataclass(frozen=True)
class Dispatch:
    """How many batches one dispatch takes, and how they are stacked.

    Attributes:
      calls: train steps of a dispatch.
      updates: batches of a step: 1 where all updates of a step share a batch.
      fresh: whether every update of a step has a batch of its own.
    """

    calls: int
    updates: int
    fresh: bool

    @property
    def lead(self) -> tuple[int, ...]:
        """The axes of a feed before that of the batch: (calls, updates), each only where there is such an axis."""
        return (self.calls,) * (self.calls > 1) + (self.updates,) * self.fresh

    def feeds(self, feed: Feed, start: int) -> Iterator[Any]:
        """Feeds [*lead, batch, ...] of the dispatches from step `start` on."""
        stack = lambda *x: np.stack(x).reshape(*self.lead, *x[0].shape) if self.lead else x[0]
        batches = feed.start(start * self.updates)
        try:
            while True:
                group = [next(batches) for _ in range(self.calls * self.updates)]
                yield jax.tree.map(stack, *group)
        finally:
            batches.close()
