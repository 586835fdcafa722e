"""The pictures of a run that has ended: of what its task measures and predicts, whatever the task."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from training import pictures
from training.evaluate import variables
from training.records import read
from training.views import overlay

MISTAKES = 24


def figures(run, numbers: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    """(name, figure): the curves; the confusion matrix and the worst mistakes where there are such numbers.

    Args:
      run: an `experiments.runs.run.Run` with checkpoints.
      numbers: of the test split, as the task's metrics give them; `confusion` [K, K] is drawn.
    """
    yield "curves", pictures.curves(read(run.workdir))
    classes = run.parts.info.classes
    if "confusion" in numbers:
        yield "confusion", pictures.confusion(numbers["confusion"], classes)
    if numbers and _answers(run):
        found = worst_mistakes(run.predictions("test"), run.parts.source("test"))
        if len(found["label"]):
            yield (
                "mistakes",
                pictures.mistakes(found["image"], found["label"], found["prediction"], found["probability"], classes),
            )
    if numbers and run.task.dense:
        yield "segmentations", segmentations(run)


def segmentations(run, count: int = 8) -> Figure:
    """Images from all over the test split; below each its true classes, and below these the predicted ones."""
    source, num_classes = run.parts.source("test"), len(run.parts.info.classes)
    ids = np.linspace(0, len(source) - 1, min(count, len(source))).astype(np.int64)
    batch = source.fetch(ids)
    predicted = run.predict(batch["image"])["prediction"]
    rows = {"": np.zeros_like(predicted), "true": batch["masks"], "predicted": predicted}
    panels = [
        overlay(*pair, num_classes) for masks in rows.values() for pair in zip(batch["image"], masks, strict=True)
    ]
    labels = [f"{name} {i}".strip() for name in rows for i in ids]
    return pictures.examples(np.stack(panels) / 255, labels, columns=len(ids))


def worst_mistakes(predictions: Mapping[str, np.ndarray], source, count: int = MISTAKES) -> dict[str, np.ndarray]:
    """The `count` wrongly answered examples of the largest loss, the worst first.

    Args:
      predictions: `id`, `prediction`, `probability` and `loss`, each [N].

    Returns:
      image [n, H, W, C] uint8, label, prediction, probability [n], n <= count.
    """
    # A large loss is nearly always a mistake, so few more than `count` images need be read.
    order = np.argsort(-predictions["loss"], kind="stable")[: 10 * count]
    examples = source.fetch(predictions["id"][order].astype(np.int64))
    answers = {name: predictions[name][order] for name in ("prediction", "probability")}
    label = examples["label"]
    wrong = np.flatnonzero((label >= 0) & (label != answers["prediction"]))[:count]
    return {name: x[wrong] for name, x in {"image": examples["image"], "label": label, **answers}.items()}


def _answers(run) -> bool:
    """Whether the task answers each labelled image with one class, its probability and a loss."""
    batch, state = run.parts.example_batch(), run.parts.abstract_state
    params, stats, _ = variables(state)
    key, frozen = jax.random.key(0), run.task.frozen()
    outputs = jax.eval_shape(run.task.predict, params, stats, batch, key, frozen)
    one_each = lambda name: name in outputs and outputs[name].ndim == 1
    return "label" in batch and all(one_each(name) for name in ("prediction", "probability", "loss"))
