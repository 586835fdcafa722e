"""The data of a page: how they are opened, and its evaluation sets: which, how often, by which extra measures."""

import dataclasses
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from data import open_source
from data.decoded import decoded
from data.source import Info, Source
from experiments.errors import PageError
from experiments.pages.component import find
from experiments.pages.schema import PLAIN

# Keys of `data` and of a set in `evaluate` that are not options of the source.
NOT_OPTIONS = {"name", "split", "every", "also", *PLAIN["data"]}


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
        if name == "train":
            raise PageError("evaluate.train: 'train' names the training split; call the set something else")
        if section.every < 0 or section.every % train.evaluate_every:
            raise PageError(
                f"evaluate.{name}.every={section.every} is not a multiple of"
                f" train.evaluate_every={train.evaluate_every}"
            )
        data = section if section.name else page.data
        found[name] = EvaluationSet(name, data, section.split, section.every, tuple(section.also))
    return found


def options_of(section: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the source that a section opens."""
    return {key: value for key, value in section.items() if key not in NOT_OPTIONS}


def open_set(
    section: ConfigDict,
    name: str,
    sets: Mapping[str, EvaluationSet],
    expected: Callable[[], Info],
    known: Info | None = None,
) -> Source:
    """The training split ("train"), an evaluation set by its name, or any split of the page's data ("train[:50%]").

    Args:
      section: the page's `data`.
      sets: the evaluation sets of the page, by name.
      expected: () -> the fields that the network is trained on, which an evaluation set must have.
      known: the info of the page's data where it is known, whose mean and deviation are then not measured again.

    Raises PageError for an unknown name, and where the section states another number of classes than the data have.
    """
    chosen = sets.get(name) or EvaluationSet(name, section, section.train if name == "train" else name, 0)
    if chosen.data is not section:
        find("data", chosen.data.name, f"evaluate.{name}")  # whose error names the set
    options = options_of(chosen.data)
    if known and chosen.data is section:
        options |= {key: getattr(known, key) for key in ("mean", "std") if key in options}
    source = open_source(chosen.data.name, chosen.split, **options)
    source.info = dataclasses.replace(source.info, classes_of=section.classes_of)
    if section.cache and chosen.data is section:
        folder = pathlib.Path(section.cache).expanduser()
        source = decoded(source, folder, (section.name, chosen.split, options_of(section)), _say)
    stated, found = section.num_classes, source.info.classes
    if stated is not None and stated != len(found):
        raise PageError(
            f"data.num_classes={stated}, but {chosen.data.name} has {len(found)} classes:"
            f" {', '.join(found[:10])}{' …' if len(found) > 10 else ''}"
        )
    if name in sets:
        check_same_fields(f"evaluation set {name!r}", source.info, expected())
    return source


def _say(line: str) -> None:
    print(f"fovea: {line}", file=sys.stderr)


def check_same_fields(what: str, found: Info, expected: Info) -> None:
    """Raises PageError where the classes, words or channels of `what` differ from those that the network is trained on.

    The message names the first difference.
    """
    for key, field in expected.fields.items():
        other = found.fields.get(key)
        if other is None or other.kind != field.kind:
            raise PageError(f"{what} has no {field.kind} {key!r}, which the training data have")
        if other.names != field.names:
            count = f"{len(other.names)} names of {key!r}, {len(field.names)} in training"
            raise PageError(f"{what}: {count}: {_first_difference(other.names, field.names)}")
        if field.kind == "image" and other.shape[-1] != field.shape[-1]:
            raise PageError(f"{what}: {key!r} has {other.shape[-1]} channels, not {field.shape[-1]}")


def _first_difference(found: Sequence[str], expected: Sequence[str]) -> str:
    if new := [name for name in found if name not in expected]:
        return f"{new[0]!r} is not among those of training"
    if missing := [name for name in expected if name not in found]:
        return f"{missing[0]!r} of training is missing"
    place = next(i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b)
    return f"they are in another order: {found[place]!r} is in the place of {expected[place]!r}"
