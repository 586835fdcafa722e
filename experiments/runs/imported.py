"""A work directory of weights that were trained elsewhere: like that of a run before its first step."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from data.source import labelled_images
from experiments.build.compilation import keep_compiled
from experiments.build.memory import Memory, opening
from experiments.build.networks import make_networks
from experiments.build.parts import Parts
from experiments.errors import PageError, near
from experiments.pages.component import find
from experiments.pages.overrides import override
from experiments.pages.schema import page
from experiments.pages.stored import LOCK, READINGS, STORED, canonical
from experiments.runs.provenance import note, origin
from experiments.runs.run import Run
from experiments.runs.workdir import locked
from experiments.weights.naming import Match, convert, count_classes, plain, recognise, shapes
from experiments.weights.preprocessing import Preprocessing, preprocessing, published_size
from experiments.weights.reading import Tensors, read_weights
from training.atomic import replace

WEIGHTS = "weights.json"  # in the work directory: the file, its digest and its naming
UNKNOWN = Preprocessing((0.5,) * 3, (0.5,) * 3, "resize")  # of a naming whose library prepares images in no one way
NO_DATA = "folder:"  # of a page without data; what it opens is named when it is used


@dataclasses.dataclass(frozen=True)
class Imported:
    """What became of a file.

    Attributes:
      run: of the new work directory.
      match: the naming, and the names that were left out (with `partial`).
      prepared: how images must be prepared for these weights, as far as it is known.
      count: numbers that were taken.
    """

    run: Run
    match: Match
    prepared: Preprocessing | None
    count: int


def classifier_page(model: str, overrides: Sequence[tuple[str, str]]) -> ConfigDict:
    """The page of a classifier of the table, with data if `overrides` name any.

    Raises PageError for a network whose task does not follow from its name.
    """
    if not find("model", model).target.startswith("models.classification."):
        raise PageError(f"--model {model}: its task is not known: name a page with this network by --config")
    data = dict(overrides).get("data.name", NO_DATA)
    rest = [(key, value) for key, value in overrides if key != "data.name"]
    return override(
        page(
            model=dict(name=model),
            task=dict(name="classification"),
            data=dict(name=data),
            optimizer=dict(name="sgd"),
            schedule=dict(name="constant"),
        ),
        rest,
    )


def import_weights(
    config: ConfigDict,
    file: str,
    workdir: str | pathlib.Path,
    *,
    given: Sequence[str] = (),
    player: str = "",
    classes: Sequence[str] = (),
    partial: bool = False,
    naming: str = "",
) -> Imported:
    """Makes a work directory of the weights in `file`.

    Args:
      config: a page. Where it has no data (`NO_DATA`), it is of a classifier, whose classes are `classes`, or else as
        many as the weights have.
      given: the keys of the page that the user has set: "data.mean" keeps the preprocessing of the naming out.
      player: the network of the page that the weights are of; "": its only one.
      partial: weights that the file lacks keep their random values, and those without a place are left out.
      naming: a key of the network's PORTS; "": it follows from the names.

    Raises:
      PageError, ModelError: a file that cannot be read or is of another network, or names or shapes that do not fit.
    """
    keep_compiled()
    workdir, tensors = pathlib.Path(workdir), plain(read_weights(file))
    if (workdir / STORED).exists():
        raise PageError(f"{workdir} is the work directory of a run: import into another one")
    if config.data.name == NO_DATA:
        match, parts = _without_data(config, tensors, given, classes, naming)
    elif classes:
        raise PageError("--classes: the data of the page name the classes")
    else:
        match, parts = _with_data(config, tensors, given, player, naming)
    player = player or _only(parts.task.names)
    state = parts.initial_state()
    own = {"params": state.params[player], **state.stats[player]}
    likely = match.naming
    variables, match = convert(tensors, parts.networks[player], own, partial, naming)
    if match.naming != likely:  # the page has the preprocessing of a naming whose shapes did not fit
        return import_weights(
            config,
            file,
            workdir,
            given=given,
            player=player,
            classes=classes,
            partial=partial,
            naming=match.naming,
        )
    prepared = preprocessing(config.model.get("name", ""), match.naming, match.found)
    own = unflatten_dict({**flatten_dict(own), **flatten_dict(variables)})
    state = state.replace(
        params={**state.params, player: own.pop("params")},
        stats={**state.stats, player: own},
    )
    state = state.replace(ema={name: _as(state.ema[name], state.params[name]) for name in state.ema})
    run = Run(parts, workdir)
    _store(run, state, file, match)
    return Imported(run, match, prepared, sum(x.size for x in jax.tree.leaves(variables)))


def _without_data(config, tensors: Tensors, given, classes, naming: str) -> tuple[Match, Parts]:
    """The page's parts, whose data are known by what the weights and the network's publication tell."""
    name, fields = config.model.name, dict(config.model)
    side, channels = published_size(name, fields)
    if "data.channels" in given:
        channels = config.data.channels
    size = config.data.image_size or side

    def network(count: int):
        train = config.train
        supplied = dict(num_classes=count, vocabulary=0, shape=(size, size, channels))
        supplied |= dict(dtype=np.dtype(train.dtype), param_dtype=np.dtype(train.param_dtype), axis_name=None)
        return make_networks(config, supplied)["model"]

    image = np.zeros((1, size, size, channels), np.float32)
    like = shapes(network(2), image)
    match, *_ = recognise(tensors, network(2), like, naming)
    prepared = preprocessing(name, match.naming, match.found)
    found = count_classes(tensors, like, shapes(network(3), image), match.port)
    if found is None and not classes:
        raise PageError("the file does not tell the number of classes: name them by --classes FILE")
    if classes and found not in (None, len(classes)):
        raise PageError(f"--classes names {len(classes)} classes, the weights have {found}")
    size = config.data.image_size or (prepared and prepared.side) or side
    config = _prepared(config, prepared or UNKNOWN, given, size, channels)
    names = tuple(classes) or tuple(map(str, range(found)))
    info = labelled_images(names, (size, size, channels), tuple(config.data.mean), tuple(config.data.std))
    return match, Parts(config, Memory(opening(config.data), info, {}))


def _with_data(config, tensors: Tensors, given, player: str, naming: str) -> tuple[Match, Parts]:
    """The page's parts; its data have the normalisation of the weights unless the page has one of its own."""
    parts = Parts(config)
    names = parts.task.names
    if player and player not in names:
        raise PageError(f"--player {player}{near(player, names)}")
    player, state = player or _only(names), parts.abstract_state
    like = {"params": state.params[player], **state.stats[player]}
    match, *_ = recognise(tensors, parts.networks[player], like, naming)
    prepared, info = preprocessing(config.model.get("name", ""), match.naming, match.found), parts.info
    if prepared and config.data.scale == "standardise" and "mean" in config.data and not config.data.mean:
        config = _prepared(config, prepared, given, 0, info.shape[-1])
        info = dataclasses.replace(info, mean=tuple(config.data.mean), std=tuple(config.data.std))
    return match, Parts(config, Memory(opening(config.data), info, {}))


def _prepared(config: ConfigDict, prepared: Preprocessing, given, size: int, channels: int) -> ConfigDict:
    """The page with the preprocessing of the weights in those keys of its data that the user has not set."""
    mean, std = prepared.mean, prepared.std
    if channels == 1:  # of a grey picture, whose value is the mean of its colours
        mean, std = (float(np.mean(mean)),), (float(np.mean(std)),)
    wanted = {"mean": mean, "std": std} | (
        {"crop": prepared.crop, "image_size": size, "channels": channels} if size else {}
    )
    keys = {f"data.{key}": value for key, value in wanted.items() if key in config.data}
    return override(config, [(key, str(value)) for key, value in keys.items() if key not in given])


def _only(names: Sequence[str]) -> str:
    if len(names) > 1:
        raise PageError(f"the page trains {', '.join(names)}: say whose weights these are by --player")
    return names[0]


def _as(like: Any, tree: Any) -> Any:
    return jax.tree.map(lambda a, b: b.astype(a.dtype), like, tree)


def _members(parts: Parts) -> dict[str, np.ndarray]:
    """The training examples, so that training may go on from here; {} without data."""
    found = None if parts.page.data.name == NO_DATA else parts.members("train")
    return {} if found is None else {"train": found}


def _store(run: Run, state: Any, file: str, match: Match) -> None:
    """Writes what a run has in its work directory, and where the weights are from."""
    workdir, path = run.workdir, pathlib.Path(file).expanduser()
    kept: Mapping[str, Any] = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "naming": match.naming,
    }
    with locked(workdir):
        replace(workdir / STORED, json.dumps(canonical(run.page), indent=1))
        replace(workdir / WEIGHTS, json.dumps(kept, indent=1))
        readings = {name: {"better": one.better, "unit": one.unit} for name, one in run.readings().items()}
        replace(workdir / READINGS, json.dumps(readings, indent=1))
        dataclasses.replace(run.parts.memory, members=_members(run.parts)).store(workdir)
        note(workdir)
        body = {"window": [], "page": canonical(run.page), "origin": origin(run.page)}
        run.checkpoints.save(0, state, body)
        run.checkpoints.wait()
    replace(workdir / LOCK, json.dumps({"ended": "imported"}))
