"""Retrieval: every example of a split is a query, and the others, ranked by distance, are what it finds.

With r_i = 1 where the i-th nearest of the N − 1 others has the query's class, and R = Σ r_i,

    recall@k = [Σ_{i≤k} r_i > 0]           (rank-1 is recall@1; Jégou et al. 2011, Song et al. 2016)
    AP       = 1/R Σ_i r_i (Σ_{j≤i} r_j) / i

and recall_at_k and map are their means over the queries. Examples without a class (−1) are left out; a query whose
class has no other example does not count.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from training.errors import TrainingError
from training.evaluators import Draw
from training.metrics.readings import Reading

CHUNK = 1024  # queries that are ranked at once
SHOWN = 8  # queries, at equal distances over the split, whose nearest example is named


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """The evaluator of `outputs[embedding]` [B, D] under the Euclidean distance.

    Besides the numbers it gives `retrieved` [n, 2] int64: the ids of at most SHOWN queries, and of the nearest other
    example of the split for each.

    Attributes:
      ks: the k of recall@k.
      embedding: the output.
    """

    ks: tuple[int, ...] = (1, 5)
    embedding: str = "embedding"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.embedding, "label")

    @property
    def readings(self) -> Mapping[str, Reading]:
        return {name: Reading("max", "%") for name in (*(f"recall_at_{k}" for k in self.ks), "map")}

    def start(self, source: Any, draw: Draw) -> "Ranking":
        """Raises TrainingError where the split is too small for the largest k, or no class has two examples."""
        labels = source.labels()
        labels = labels[labels >= 0]
        if len(labels) <= max(self.ks):
            raise TrainingError(
                f"recall@{max(self.ks)} needs {max(self.ks) + 1} examples with a class or more, the split has"
                f" {len(labels)}"
            )
        if np.bincount(labels).max() < 2:
            raise TrainingError("retrieval needs two examples of a class or more, the split has one of each")
        return Ranking(self)


class Ranking:
    """One pass: the embeddings of a split."""

    def __init__(self, evaluator: Retrieval):
        self._evaluator, self._parts = evaluator, []

    def add(self, ids: np.ndarray, rows: dict[str, np.ndarray]) -> None:
        self._parts.append((ids, rows[self._evaluator.embedding], rows["label"]))

    def compute(self) -> dict[str, Any]:
        ids, embeddings, labels = (np.concatenate(x) for x in zip(*self._parts, strict=True))
        order = np.argsort(ids)  # ties are broken by id, on any number of devices
        order = order[labels[order] >= 0]
        ids, embeddings, labels = ids[order].astype(np.int64), embeddings[order], labels[order]
        queries = np.unique(np.linspace(0, len(ids) - 1, SHOWN).astype(np.int64))
        nearest = _distances(np.asarray(embeddings, np.float64), queries).argmin(1)
        numbers = retrieval(embeddings, labels, self._evaluator.ks)
        return {**numbers, "retrieved": np.stack([ids[queries], ids[nearest]], 1)}


def retrieval(embeddings: np.ndarray, labels: np.ndarray, ks: tuple[int, ...]) -> dict[str, float]:
    """recall_at_k of each k, and map; NaN where no query has another example of its class.

    Args:
      embeddings: [N, D].
      labels: [N] int.
    """
    x = np.asarray(embeddings, np.float64)
    hits, precisions = [], []
    for start in range(0, len(x), CHUNK):
        queries = np.arange(start, min(start + CHUNK, len(x)))
        ranks = np.argsort(_distances(x, queries), axis=1, kind="stable")[:, :-1]  # itself comes last, and is cut off
        right = labels[ranks] == labels[queries, None]
        right = right[right.any(1)]
        found = right.cumsum(1)
        hits.append(found[:, [min(k, len(x) - 1) - 1 for k in ks]] > 0)
        precisions.append((right * found / np.arange(1, len(x))).sum(1) / right.sum(1))
    hits, precisions = np.concatenate(hits), np.concatenate(precisions)
    if not len(precisions):
        return {**{f"recall_at_{k}": np.nan for k in ks}, "map": np.nan}
    recalls = {f"recall_at_{k}": float(share) for k, share in zip(ks, hits.mean(0), strict=True)}
    return {**recalls, "map": float(precisions.mean())}


def _distances(x: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """[n, N] squared distances from the queries, rows of x [N, D], to all rows; that of a query to itself is ∞."""
    squares = np.square(x).sum(1)
    distances = squares[queries, None] + squares - 2 * x[queries] @ x.T
    distances[np.arange(len(queries)), queries] = np.inf
    return distances
