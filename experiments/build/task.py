"""The task of a page."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from data.augment import moves_pixels
from data.fields import of_kind
from data.source import CLASSES, Info
from experiments.errors import PageError
from experiments.pages.schema import components
from training.task import Task


def make_task(page: ConfigDict, networks: Mapping[str, Any], supplied: Mapping[str, Any]) -> Task:
    """The task of the section `task`.

    Args:
      supplied: arguments that the builder gives to the tasks that have them, "info" among them.

    Raises PageError where the page's data, augmentation or accumulation do not fit the task.
    """
    ((_, (component, options)),) = components("task", page.task).items()
    given = {name: supplied[name] for name in component.supplied() & supplied.keys()}
    task = component.load()(networks, **component.fixed, **options, **given)
    check_needs(page, supplied["info"], task)
    check_classes(page, supplied["info"], task)
    check_movements(page.data, supplied["info"], task)
    if task.pairs and page.train.accumulate > 1:
        raise PageError(
            f"train.accumulate={page.train.accumulate}: the loss of task {page.task.name!r} compares the"
            " examples of a batch, and a microbatch has other pairs"
        )
    return task


def check_needs(page: ConfigDict, info: Info, task: Task) -> None:
    """Raises PageError for data without a field that the loss reads."""
    for name in task.needs:
        if name not in info.fields:
            hint = ": at least two classes are needed" if name == "label" else ""
            raise PageError(
                f"task {page.task.name!r} needs {name!r}, and {page.data.name} has {', '.join(info.fields)} only{hint}"
            )


def check_classes(page: ConfigDict, info: Info, task: Task) -> None:
    """Raises PageError where the task answers with other classes than those that the network is made for."""
    answered = of_kind(info.fields, *(set(task.outputs.values()) & set(CLASSES)))
    named = [name for name, field in answered.items() if field.names]
    if named and info.classes not in [answered[name].names for name in named]:
        raise PageError(
            f"task {page.task.name!r} answers with the classes of {named[0]!r}, and the network is made for"
            f" {len(info.classes)} others: set data.classes_of={named[0]!r}"
        )


def check_movements(section: ConfigDict, info: Info, task: Task) -> None:
    """Raises PageError for augmentations that would move pixels away from what the task reads or answers."""
    kinds = set(task.outputs.values())
    placed = [name for name, field in of_kind(info.fields, "tokens").items() if field.spatial and "tokens" in kinds]
    moving = [spec for spec in section.augment if moves_pixels(spec)]
    if placed and moving:
        raise PageError(f"data.augment: {moving[0]!r} moves pixels, but the words of {placed[0]!r} name places in them")
    moving = [spec for spec in section.evaluate_augment if moves_pixels(spec)]
    if moving and kinds & {"boxes", "points", "mask"}:
        raise PageError(f"data.evaluate_augment: {moving[0]!r} moves pixels, but the truth and the answers stay")
