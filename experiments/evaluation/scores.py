"""The logits of a classifier for every example of a split, on the host."""

import dataclasses
from typing import Any

import numpy as np

from data.pipeline import examples, in_order
from experiments.errors import PageError


@dataclasses.dataclass(frozen=True)
class Scores:
    """Logits [N, K], labels [N] (−1: unknown), and the numbers of the examples [N] where they have any."""

    logits: np.ndarray
    labels: np.ndarray
    members: np.ndarray | None

    @property
    def labelled(self) -> "Scores":
        """Without the examples whose class is unknown."""
        known = self.labels >= 0
        return Scores(self.logits[known], self.labels[known], None if self.members is None else self.members[known])

    @property
    def right(self) -> np.ndarray:
        """[N] bool."""
        return self.logits.argmax(-1) == self.labels


def scores(run: Any, name: str, step: int | None = None) -> Scores:
    """Of a set or split of a run, with checkpoint `step`, else the best, else the newest.

    Raises PageError where the run is not of a classifier.
    """
    if run.page.task.name != "classification":
        raise PageError(f"{run.workdir}: the task {run.page.task.name!r} has no logits of classes")
    state, _ = run.placed(step)
    found = [(run.snapshots.predict(state, batch)["logits"], batch["label"]) for batch in batches(run, name)]
    logits, labels = (np.concatenate(x) for x in zip(*found, strict=True))
    return Scores(logits, labels, run.parts.members(name)).labelled


def batches(run: Any, name: str):
    """The examples of a set or split in order. Raises PageError where evaluation varies them by their numbers."""
    if run.page.data.evaluate_augment:
        raise PageError("data.evaluate_augment varies the examples of an evaluation: only `fovea eval` alone does that")
    source, size = run.parts.source(name), run.page.train.evaluate_batch_size
    for start in range(0, len(source), size):
        yield examples(source, in_order(source, np.arange(start, min(start + size, len(source)))))


def together(runs: list[Any], name: str, step: int | None = None) -> list[Scores]:
    """Of several runs on one split. Raises PageError where their classes or their examples differ."""
    first = runs[0]
    for run in runs[1:]:
        if run.parts.info.classes != first.parts.info.classes:
            raise PageError(
                f"{run.workdir} has other classes than {first.workdir}: {_shown(run)} there, {_shown(first)} here"
            )
    found = [scores(run, name, step) for run in runs]
    for run, one in zip(runs[1:], found[1:], strict=True):
        same = np.array_equal(one.labels, found[0].labels)
        if same and one.members is not None and found[0].members is not None:
            same = np.array_equal(one.members, found[0].members)
        if not same:
            raise PageError(f"{run.workdir} has other examples in {name!r} than {first.workdir}")
    return found


def _shown(run: Any) -> str:
    classes = run.parts.info.classes
    return f"{len(classes)} from {classes[0]!r}"


def probabilities(logits: np.ndarray) -> np.ndarray:
    """The softmax over the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)
