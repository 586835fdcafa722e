"""The pictures of a run that has ended: its curves, and what its task measures and shows, whatever the task."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.evaluation.snapshots import spread
from training import pictures
from training.records import read


def figures(run, state, numbers: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], Figure | np.ndarray]]]:
    """(name, () -> picture): the curves, the confusion matrix and the worst mistakes where measured, the task's views.

    Args:
      run: an `experiments.runs.run.Run`.
      state: the one that was measured, placed.
      numbers: of the test set: `confusion` [K, K] is drawn, and `mistakes` [n], the ids of the worst wrong answers.
    """
    units = {name.partition("/")[2]: reading for name, reading in run.readings().items()}
    yield "curves", lambda: pictures.curves(read(run.workdir), units)
    if "confusion" in numbers:
        yield "confusion", lambda: pictures.confusion(numbers["confusion"], run.parts.info.classes)
    if len(numbers.get("mistakes", ())):
        yield "mistakes", lambda: mistakes(run, state, numbers["mistakes"])
    if numbers and run.task.views:
        yield "predictions", lambda: run.snapshots.examples(state, "test", spread(run.parts.source("test")))


def mistakes(run, state, ids: np.ndarray) -> Figure:
    """The test examples `ids` [n], each with its class and the wrong answer."""
    batch = run.parts.source("test").fetch(ids)
    outputs = run.snapshots.predict(state, batch)
    answers = outputs["prediction"], outputs["probability"]
    return pictures.mistakes(batch["image"], batch["label"], *answers, run.parts.info.classes)
