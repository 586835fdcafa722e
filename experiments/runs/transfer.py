"""Transfer: a run that begins with another one's parameters where the classes differ."""

import dataclasses
import pathlib
import re

from ml_collections import ConfigDict

from data.source import CLASSES
from experiments.build.memory import Memory, opening, recall
from experiments.build.parts import Parts
from experiments.pages.overrides import override
from training.checkpoint import leaves


def with_new_head(parts: Parts) -> tuple[ConfigDict, str] | None:
    """(the page without the source's head, a line that says so), where `train.init_from` has other classes.

    The head is every parameter whose shape depends on the number of classes. None where the classes are the same, or
    the source does not remember its own, or nothing depends on them.
    """
    page = parts.page
    if not page.train.init_from:
        return None
    memory = recall(pathlib.Path(page.train.init_from).expanduser())
    if memory is None or memory.info.classes == parts.info.classes:
        return None
    skipped, state = tuple(page.train.init_except), parts.abstract_state
    paths = leaves({"params": state.params, "stats": state.stats})
    if not all(any(re.search(pattern, path) for path in paths) for pattern in skipped):
        return None  # which is an error of its own
    head = [path for path in head_of(parts) if not any(re.search(pattern, path) for pattern in skipped)]
    if not head:
        return None
    patterns = (*skipped, *(f"^{re.escape(path)}$" for path in head))
    names = ", ".join(path.split("/", 2)[2] for path in head)
    line = f"{page.train.init_from} has {len(memory.info.classes)} other classes: {names} are new"
    return override(page, [("train.init_except", repr(patterns))]), line


def head_of(parts: Parts) -> list[str]:
    """The leaves of params and stats, "params/model/fc/kernel", whose shapes depend on the number of classes."""
    info, state = parts.info, parts.abstract_state
    fields = {
        name: dataclasses.replace(field, names=(*field.names, "\0"))
        if field.kind in CLASSES and field.names == info.classes and info.classes
        else field
        for name, field in info.fields.items()
    }
    more = Parts(parts.page, Memory(opening(parts.page.data), dataclasses.replace(info, fields=fields), {}))
    one, other = (leaves({"params": x.params, "stats": x.stats}) for x in (state, more.abstract_state))
    return [path for path, leaf in one.items() if leaf.shape != other[path].shape]
