"""The pictures of a run that has ended: its curves, and what its task measures and shows, whatever the task."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.evaluation.snapshots import spread
from training import pictures, views
from training.records import read


def figures(run, state, numbers: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], Figure | np.ndarray]]]:
    """(name, () -> picture): the curves; confusion, mistakes and retrieval where measured; the task's views.

    Args:
      run: an `experiments.runs.run.Run`.
      state: the one that was measured, placed.
      numbers: of the test set: `confusion` [K, K] is drawn, and `mistakes` [n], the ids of the worst wrong answers,
        and `retrieved` [n, 2], the ids of queries and of the nearest example for each.
    """
    units = {name.partition("/")[2]: reading for name, reading in run.readings().items()}
    yield "curves", lambda: pictures.curves(read(run.workdir), units)
    if "confusion" in numbers:
        yield "confusion", lambda: pictures.confusion(numbers["confusion"], run.parts.info.classes)
    if len(numbers.get("mistakes", ())):
        yield "mistakes", lambda: mistakes(run, state, numbers["mistakes"])
    if len(numbers.get("retrieved", ())):
        yield "retrieved", lambda: retrieved(run, numbers["retrieved"])
    if numbers and run.task.views:
        yield "predictions", lambda: run.snapshots.examples(state, "test", spread(run.parts.source("test")))


def mistakes(run, state, ids: np.ndarray) -> Figure:
    """The test examples `ids` [n], each with its class and the wrong answer."""
    batch = run.parts.source("test").fetch(ids)
    outputs = run.snapshots.predict(state, batch)
    answers = outputs["prediction"], outputs["probability"]
    return pictures.mistakes(batch["image"], batch["label"], *answers, run.parts.info.classes)


def retrieved(run, ids: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3]: the test examples ids[:, 0], above the nearest other one of the split for each, ids[:, 1]."""
    query, nearest = (run.parts.source("test").fetch(column) for column in ids.T)
    rows = (views.image("query"), views.label("class"), views.image("nearest"), views.label("its class"))
    columns = zip(query["image"], query["label"], nearest["image"], nearest["label"], strict=True)
    names = [view.title for view in rows]
    return views.panel(rows, [dict(zip(names, column, strict=True)) for column in columns], run.parts.info)
