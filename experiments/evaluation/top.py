"""The top-k accuracy as an extra measure of a set."""

from experiments.build.parts import Parts
from training.errors import TrainingError
from training.metrics import classification
from training.metrics.sums import Metric


def top_k(k: int, *, parts: Parts) -> Metric:
    """`top<k>` of a classifier. Raises TrainingError unless there are more than `k` classes, and k is 1 or more."""
    classes = len(parts.info.classes)
    if not 1 <= k < classes:
        raise TrainingError(f"top_k({k}): k lies between 1 and {classes - 1}, there are {classes} classes")
    return classification.top_k(k)
