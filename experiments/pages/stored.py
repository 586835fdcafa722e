"""Stored pages: their canonical form, how two differ, and the one way in which a work directory's files are read."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict, FrozenConfigDict

from experiments.errors import PageError
from experiments.pages.schema import page

STORED = "config.json"  # the page of a run
DATA, MEMBERS = "data.json", "members.npz"  # what the run remembers of its data; see experiments/build/memory.py
LOCK = "lock"  # held by the process that trains; records its owner, and how the last run ended
READINGS = "readings.json"  # which direction of each recorded number is better, and its unit
SUMMARY = "summary.json"  # the final numbers; exists if and only if the run has ended
EVALUATIONS = "eval.json"  # the records of `fovea eval`
SWEEP, RESULTS = "sweep.json", "results.json"  # of a sweep: its plan; its trials


def read(workdir: str | pathlib.Path) -> dict[str, Any]:
    """The canonical page stored in a work directory, as it was written. Raises PageError where there is none."""
    path = pathlib.Path(workdir) / STORED
    if not path.is_file():
        raise PageError(f"{workdir} is not a work directory: cannot read {path} (No such file or directory)")
    return read_json(path)


def read_page(workdir: str | pathlib.Path) -> ConfigDict:
    """The page stored in a work directory, complete and locked. Raises PageError where there is none."""
    return from_canonical(read(workdir))


def read_summary(workdir: str | pathlib.Path) -> dict[str, Any]:
    """The final numbers of a run. Raises PageError where it has not ended."""
    path = pathlib.Path(workdir) / SUMMARY
    if not path.is_file():
        raise PageError(f"the run in {workdir} has not ended: there is no {SUMMARY}; `fovea train` finishes it")
    return read_json(path)


def read_json(path: pathlib.Path) -> Any:
    """The content of a JSON file. Raises PageError where it cannot be read."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise PageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise PageError(f"{path} is not readable: {error}") from error


def canonical(config: Mapping[str, Any]) -> dict[str, Any]:
    """The form in which pages are stored and compared: plain, JSON-able, tuples as lists."""
    plain = config.to_dict() if isinstance(config, ConfigDict | FrozenConfigDict) else config
    return json.loads(json.dumps(plain))


def difference(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """One line per key in which two canonical pages differ. `devices`, `track` and `data.cache` are ignored."""
    a, b = flat(stored), flat(given)
    keys = [k for k in dict.fromkeys([*a, *b]) if not k.startswith(("devices.", "track.", "data.cache"))]
    missing = object()
    show = lambda x: "absent" if x is missing else repr(x)
    return [
        f"{k}: stored {show(a.get(k, missing))}, given {show(b.get(k, missing))}"
        for k in keys
        if a.get(k, missing) != b.get(k, missing)
    ]


def hyperparameters(config: ConfigDict) -> dict[str, int | float | bool | str]:
    """The page as trackers show it: flat, without `paper` and `track`; tuples as text."""
    shown = {key: value for key, value in flat(canonical(config)).items() if not key.startswith(("paper.", "track."))}
    text = lambda value: ", ".join(map(str, value)) if isinstance(value, list) else value
    return {key: text(value) for key, value in shown.items() if value is not None}


def from_canonical(stored: Mapping[str, Any]) -> ConfigDict:
    """The page that was stored; keys added since then have their defaults."""
    return page(**{name: _drop_none(section) for name, section in stored.items()})


def completed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored page in canonical form; keys added since then have their defaults."""
    return canonical(from_canonical(stored))


def check_stored(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Raises PageError if a work directory holds another page, or one that cannot be read."""
    if (workdir / STORED).exists() and (differing := difference(completed(read(workdir)), canonical(config))):
        raise PageError(
            f"{workdir} was trained with another page; {'; '.join(differing)}"
            " (another --workdir, or --fork to resume with the page given)"
        )


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"train.seed": 0, …} of nested sections."""
    found = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


def _drop_none(section):
    return {k: _drop_none(v) if isinstance(v, Mapping) else v for k, v in section.items() if v is not None}
