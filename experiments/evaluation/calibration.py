"""Whether a classifier is right as often as its probabilities say. Guo et al., ICML 2017."""

import numpy as np

from experiments.evaluation.scores import probabilities

BINS = 15


def reliability(found: np.ndarray, labels: np.ndarray, bins: int = BINS) -> np.ndarray:
    """[bins, 3]: of the answers whose confidence lies in each of equal parts of (0, 1]: share, confidence, accuracy.

    Args:
      found: probabilities [N, K]. labels: [N].
    """
    confidence, right = found.max(-1), found.argmax(-1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    mean = lambda x: np.bincount(place, x, bins) / np.maximum(count, 1)
    return np.stack([count / len(labels), mean(confidence), mean(right)], 1)


def calibration_error(found: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """The expected calibration error: Σ share · |accuracy − confidence|. Equation 3."""
    share, confidence, accuracy = reliability(found, labels, bins).T
    return float((share * np.abs(accuracy - confidence)).sum())


def cross_entropy(found: np.ndarray, labels: np.ndarray) -> float:
    """The mean negative log-likelihood, in nats, of probabilities [N, K] and labels [N]."""
    return float(-np.log(np.maximum(found[np.arange(len(labels)), labels], 1e-300)).mean())


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """T > 0 with the least cross-entropy of logits / T. Section 4.2.

    In β = 1/T the cross-entropy is convex: its derivative is bisected.
    """
    rows = np.arange(len(labels))

    def derivative(beta):
        expected = (probabilities(beta * logits) * logits).sum(-1)
        return (expected - logits[rows, labels]).mean()

    low, high = 1e-3, 1e3
    for _ in range(100):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if derivative(middle) < 0 else (low, middle)
    return 1 / low


def diagram(table: np.ndarray):
    """A figure of `reliability`: accuracy against confidence, and the share of each bin."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.add_subplot()
    edges = np.linspace(0, 1, len(table) + 1)
    axes.bar(edges[:-1], table[:, 2], 1 / len(table), align="edge", edgecolor="white", label="accuracy")
    axes.bar(edges[:-1], table[:, 0], 1 / len(table), align="edge", alpha=0.4, color="black", label="share of answers")
    axes.plot([0, 1], [0, 1], "--", color="grey")
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")
    return figure
