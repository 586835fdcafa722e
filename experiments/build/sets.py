"""The evaluation sets of a page: which data are measured, how often, and by which extra measures."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from experiments.errors import PageError


@dataclasses.dataclass(frozen=True)
class EvaluationSet:
    """One set on which a run is measured.

    Attributes:
      name: the prefix of its numbers in the record: "validation/accuracy".
      data: the section that opens its source: the page's own `data`, or another data set's.
      split: of that source, in TFDS slicing syntax.
      every: steps between two evaluations; 0: once, at the end of the run.
      also: specifications of extra measures, such as "judge(runs/lenet5_mnist)".
    """

    name: str
    data: Mapping[str, Any]
    split: str
    every: int
    also: tuple[str, ...] = ()


def evaluation_sets(page: ConfigDict) -> dict[str, EvaluationSet]:
    """name -> set. `data.validation` and `data.test` give two of them, the section `evaluate` more or other ones.

    Raises:
      PageError: a set that is measured at steps at which the run does not evaluate.
    """
    train, found = page.train, {}
    if page.data.validation:
        found["validation"] = EvaluationSet("validation", page.data, page.data.validation, train.evaluate_every)
    if page.data.test:
        also = (f"judge({train.judge!r}, {train.judge_samples})",) if train.judge else ()
        found["test"] = EvaluationSet("test", page.data, page.data.test, 0, also)
    for name, section in page.evaluate.items():
        if section.every % train.evaluate_every:
            raise PageError(
                f"evaluate.{name}.every={section.every} is not a multiple of"
                f" train.evaluate_every={train.evaluate_every}"
            )
        data = section if section.name else page.data
        found[name] = EvaluationSet(name, data, section.split, section.every, tuple(section.also))
    return found
