"""Networks that take part in a task and are not trained: a VGG for style, an autoencoder for latents."""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Collection, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from data.errors import DataError
from data.npz import read_arrays
from data.source import Info
from experiments.build.memory import recall
from experiments.build.sets import open_set
from experiments.errors import PageError
from experiments.pages.stored import canonical, read, read_page
from models.errors import ModelError
from models.port import from_torch
from training.checkpoint import check_same_model, leaves, trained
from training.errors import TrainingError


def frozen_variables(
    role: str, network: nn.Module, section: Mapping[str, Any], image: np.ndarray, data: ConfigDict, info: Info
) -> dict[str, Any]:
    """The variables of a frozen network, on the host.

    Args:
      role: its key in the page's section `frozen`.
      section: the page's `frozen.ROLE`. Its `weights` are a work directory that trained the network; an .npz of a state
        dict in one of the namings that the network's file has in PORTS; or "", and the network keeps its random initial
        weights, the same in every run.
      image: [1, H, W, C], whose shape the network is initialised for.
      data: the page's section `data`, and `info` of its training split: how the images it is given are scaled.

    Raises:
      PageError: weights that are not found or do not fit the network, or were trained on images scaled otherwise.
    """
    weights = section["weights"]
    initialise = functools.partial(network.init, train=False)
    if not weights:
        variables = jax.jit(initialise)(jax.random.key(0), jnp.asarray(image))
        return jax.tree.map(np.asarray, variables)
    like, path = jax.eval_shape(initialise, jax.random.key(0), image), pathlib.Path(weights).expanduser()
    where = f"frozen.{role}.weights={weights!r}"
    try:
        if not path.is_dir():
            whole = jax.eval_shape(functools.partial(_with_head(network).init, train=False), jax.random.key(0), image)
            return _of_file(path, network, like, flatten_dict(whole).keys() - flatten_dict(like).keys())
        check_trained_so(path, section)
        check_scaled_so(path, data, info)
        return _of_run(path, like)
    except ValueError as error:  # of which TrainingError, ModelError and PageError are kinds
        first, *more = str(error).splitlines()
        raise PageError(f"{where}: {first}{f' (and {len(more)} more)' if more else ''}") from error


def check_trained_so(workdir: pathlib.Path, section: Mapping[str, Any]) -> None:
    """Raises PageError where the run trained a network with other fields than the section says."""
    model = read(workdir)["model"]
    for key, value in canonical(section).items():
        if key != "weights" and key in model and model[key] != value:
            raise PageError(f"the run was trained with model.{key}={model[key]!r}, not {value!r}")


def check_scaled_so(workdir: pathlib.Path, data: ConfigDict, info: Info) -> None:
    """Raises PageError where the run's network saw images of another scale than the page's data have.

    The mean and deviation of the run's images are those that it remembers, or those of its own data where it is of an
    earlier version. Where these cannot be opened, one line on stderr says that they were not compared.
    """
    theirs = read_page(workdir).data
    if theirs.scale != data.scale:
        raise PageError(f"the run was trained with data.scale={theirs.scale!r}, not {data.scale!r}")
    if data.scale != "standardise":
        return
    memory = recall(workdir)
    try:
        found = memory.info if memory else open_set(theirs, "train", {}, lambda: info).info
    except (DataError, OSError) as error:
        print(f"fovea: {workdir}: the mean and std of its images are unknown ({error})", file=sys.stderr)
        return
    for key, ours, other in (("mean", info.mean, found.mean), ("std", info.std, found.std)):
        if np.shape(ours) != np.shape(other) or not np.allclose(ours, other, atol=1e-3):
            show = lambda values: "(" + ", ".join(f"{x:.4g}" for x in values) + ")"
            raise PageError(
                f"the run's images were standardised with the {key} {show(other)} of {theirs.name}, not with"
                f" {show(ours)} of {data.name}: give both pages data.scale='unit', or the same data.mean and data.std"
            )


def _of_run(workdir: pathlib.Path, like: Mapping) -> dict[str, Any]:
    """Of a run with one player; parameters that the network does not have (a head) are left out."""
    found = trained(workdir)
    if len(found["params"]) != 1:
        raise TrainingError(f"the run trained {len(found['params'])} networks: {', '.join(found['params'])}")
    (player,) = found["params"]
    stored = leaves({"params": found["params"][player], **found["stats"].get(player, {})})
    wanted = leaves(like)
    kept = {path: stored[path].astype(wanted[path].dtype) for path in wanted if path in stored}
    check_same_model(wanted, kept, workdir)
    return jax.tree.unflatten(jax.tree.structure(like), [kept[path] for path in wanted])


def _with_head(network: nn.Module) -> nn.Module:
    """The network with a head, which a frozen one does not have."""
    fields = {field.name for field in dataclasses.fields(network)}
    return network.clone(
        **{name: value for name, value in {"num_classes": 1, "headless": False}.items() if name in fields}
    )


def _of_file(file: pathlib.Path, network: nn.Module, like: Mapping, head: Collection[tuple]) -> dict[str, Any]:
    """Of an .npz; the naming is the first of the network's PORTS that fits.

    Args:
      head: the paths of the leaves that the network has with a head. Their tensors are left out; any other tensor
        without a place is an error, because the file is then of another network, such as a deeper one.
    """
    if not file.is_file():
        raise ValueError("there is no such work directory or file")
    tensors, failures = read_arrays(file), []
    for port in vars(sys.modules[type(network).__module__]).get("PORTS", {}).values():
        left_out = {port.name(path) for path in head}
        try:
            variables = from_torch({name: x for name, x in tensors.items() if name not in left_out}, like, port)
            port.check(network)
            return variables
        except ModelError as error:
            failures.append(error)
    if not failures:
        raise ValueError(f"{type(network).__name__} has no table of names for weights")
    raise min(failures, key=lambda error: str(error).count("\n"))
