"""What a run remembers of its data: their classes, words, shapes and normalisation, and which examples each set holds.

`data.json` in the work directory has the Info of the training data and a digest of every set, `members.npz` a number
for every example (data/members.py). With the Info alone a trained network answers and makes pictures: no data set is
opened. A run that resumes, and an evaluation, compare the data with it:

    other classes or words, or another order of them    refused
    examples of an evaluation set among those trained   refused where they have become so, said where they always were
    other examples in a set                             one line says how many
"""

import dataclasses
import hashlib
import io
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data.fields import Field
from data.source import Info, Source
from experiments.build.sets import check_same_fields, options_of
from experiments.errors import PageError
from experiments.pages.stored import DATA, MEMBERS, canonical, read_json
from training import atomic

Members = Mapping[str, np.ndarray]  # "train" or the name of an evaluation set -> [N] uint64


@dataclasses.dataclass(frozen=True)
class Memory:
    """The data of a run.

    Attributes:
      opened: the name and the options with which they were opened.
      info: of the training data.
      members: of the sets whose sources can identify their examples.
    """

    opened: Mapping[str, Any]
    info: Info
    members: Members

    def serves(self, section: ConfigDict) -> bool:
        """Whether a page's section `data` opens the data that are remembered."""
        return self.opened == opening(section)

    def store(self, workdir: pathlib.Path) -> None:
        numbers = io.BytesIO()
        np.savez_compressed(numbers, **self.members)
        atomic.replace(workdir / MEMBERS, numbers.getvalue())
        sets = {name: {"examples": len(x), "digest": _digest(x)} for name, x in self.members.items()}
        text = {"opened": self.opened, "info": dataclasses.asdict(self.info), "sets": sets}
        atomic.replace(workdir / DATA, json.dumps(text, indent=1))

    def trained_on(self) -> Iterator[str]:
        """A line for each evaluation set that has examples of the training set: a slice was forgotten, perhaps."""
        trained = self.members.get("train", ())
        for name, members in self.members.items():
            count = 0 if name == "train" else int(np.isin(members, trained).sum())
            if count and len(trained) > 1:  # a single picture is what it is compared with
                yield f"{count} of the {len(members)} examples of {name!r} are also trained on"

    def check(self, name: str, members: np.ndarray | None, warn: Callable[[str], None]) -> None:
        """Warns where an evaluation set has other examples. Raises PageError where the run has trained on new ones."""
        before = self.members.get(name)
        if before is None or members is None or np.array_equal(before, members):
            return
        new = members[~np.isin(members, before)]
        _refuse(name, int(np.isin(new, self.members.get("train", ())).sum()), len(members), "have been trained on")
        warn(_changed(name, before, members))

    def resumed(self, now: "Memory", warn: Callable[[str], None]) -> "Memory":
        """What the run remembers once it goes on with the data `now`: of training, the examples of all its starts.

        Raises PageError for other fields or names, and for examples that would be both trained on and evaluated.
        """
        check_same_fields("the training data", now.info, self.info)
        if now.info.shape != self.info.shape:
            raise PageError(f"the training data have images {now.info.shape}, the run began with {self.info.shape}")
        trained, coming = (one.members.get("train", np.zeros(0, np.uint64)) for one in (self, now))
        new = coming[~np.isin(coming, trained)]
        for name, members in now.members.items():
            if name != "train":
                self.check(name, members, warn)
                before = self.members.get(name, ())
                _refuse(name, int(np.isin(before, new).sum()), len(before), "would be trained on")
        if not np.array_equal(trained, coming):
            warn(_changed("train", trained, coming))
        every = {"train": np.concatenate([trained, new])} if len(new) else {"train": trained}
        return dataclasses.replace(self, members={**now.members, **every})


def opening(section: ConfigDict) -> dict[str, Any]:
    """How a section `data` opens its source: the name and the options, in canonical form."""
    return canonical({"name": section.name, **options_of(section)})


def members_of(section: ConfigDict, source: Source) -> np.ndarray | None:
    """[N] uint64: the examples of a source that a section opened, all groups; None where they have no identity."""
    root = pathlib.Path(section.name.partition(":")[2]).expanduser()
    root = root if root.is_dir() else root.parent
    parts = [part.members(root) for part in (source, *source.groups.values())]
    return None if any(part is None for part in parts) else np.concatenate(parts)


def recall(workdir: pathlib.Path) -> Memory | None:
    """What the run in a work directory remembers; None where it has stored nothing."""
    if not ((workdir / DATA).is_file() and (workdir / MEMBERS).is_file()):
        return None
    stored = read_json(workdir / DATA)
    try:
        fields = {name: _field(field) for name, field in stored["info"]["fields"].items()}
        mean, std = (tuple(stored["info"][name]) for name in ("mean", "std"))
        info = Info(fields, mean, std, stored["info"]["classes_of"])
        with np.load(workdir / MEMBERS, allow_pickle=False) as archive:
            return Memory(stored["opened"], info, dict(archive))
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise PageError(f"{workdir / DATA} is not readable: {error}") from error


def _field(stored: Mapping[str, Any]) -> Field:
    return Field(**{**stored, "shape": tuple(stored["shape"]), "names": tuple(stored["names"])})


def _digest(members: np.ndarray) -> str:
    return hashlib.sha256(members.tobytes()).hexdigest()[:16]


def _refuse(name: str, count: int, total: int, what: str) -> None:
    if count:
        raise PageError(
            f"the data have changed: {count} of the {total} examples of {name!r} {what}; a slice of a set moves when"
            " files are added or removed: put them back, or train in another work directory"
        )


def _changed(name: str, before: np.ndarray, now: np.ndarray) -> str:
    more, fewer = (~np.isin(now, before)).sum(), (~np.isin(before, now)).sum()
    what = f"{more} examples more and {fewer} fewer" if more or fewer else "the same examples in another order"
    return f"the data have changed since the run began: {name!r} has {what}"
