"""BLEU and exact matches of captions, on the host."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.evaluators import Draw
from training.metrics.readings import Reading
from training.views import sentence

ORDER = 4


def bleu(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """BLEU-1, ..., BLEU-4 of a corpus, in [0, 1]: Papineni et al. 2002, section 2.3.

        BLEU-N = min(1, exp(1 − r/c)) · (∏_{n ≤ N} p_n)^{1/N}

    p_n is the share of the n-grams of all candidates that occur in a reference of theirs, each n-gram counted at most
    as often as in the reference that has it most often; c is the length of all candidates, and r that of the references
    that are nearest in length (of two, the shorter). Nothing is smoothed: BLEU-N is 0 where no n-gram matches.

    Args:
      candidates: one sentence per image, words separated by blanks.
      references: the true sentences of each, one or more.
    """
    matches, counts = np.zeros(ORDER), np.zeros(ORDER)
    length = nearest = 0
    for candidate, truths in zip(candidates, references, strict=True):
        words, truths = candidate.split(), [truth.split() for truth in truths]
        length += len(words)
        nearest += min((abs(len(truth) - len(words)), len(truth)) for truth in truths)[1]
        for n in range(1, ORDER + 1):
            most = collections.Counter()
            for truth in truths:
                most |= _grams(truth, n)
            own = _grams(words, n)
            matches[n - 1] += (own & most).total()
            counts[n - 1] += own.total()
    brevity = min(1.0, np.exp(1 - nearest / length)) if length else 0.0
    with np.errstate(divide="ignore"):
        logs = np.log(matches / np.maximum(counts, 1))
    return [float(brevity * np.exp(logs[:n].mean())) for n in range(1, ORDER + 1)]


def _grams(words, n):
    return collections.Counter(zip(*(words[i:] for i in range(n)), strict=False))


@dataclasses.dataclass(frozen=True)
class CaptionScores:
    """The Evaluator of captioners: `bleu1`, ..., `bleu4`, and `exact_match`, the share of true captions, in [0, 1].

    Attributes:
      field: the data's tokens, whose names are the vocabulary.
      output: of the task, tokens [B, L].
    """

    field: str
    output: str

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.output,)

    @property
    def readings(self) -> Mapping[str, Reading]:
        return {name: Reading("max", "%") for name in (*(f"bleu{n}" for n in range(1, ORDER + 1)), "exact_match")}

    def start(self, source: Any, draw: Draw | None = None) -> "_Pass":
        return _Pass(self, source)


class _Pass:
    """Collects the true captions of a split and those that the task gives."""

    def __init__(self, evaluator: CaptionScores, source: Any):
        self._output, self._source = evaluator.output, source
        self._names = source.info.fields[evaluator.field].names
        self._answers, self._true = [], []

    def add(self, ids, rows):
        self._answers += [sentence(tokens, self._names) for tokens in rows[self._output]]
        self._true += [truth["captions"] for truth in self._source.truth(ids)]

    def compute(self) -> dict[str, float]:
        scores = bleu(self._answers, self._true)
        exact = [answer in true for answer, true in zip(self._answers, self._true, strict=True)]
        return {f"bleu{n}": score for n, score in enumerate(scores, 1)} | {"exact_match": float(np.mean(exact))}
