"""Networks that take part in a task and are not trained: a VGG for style, an autoencoder for latents."""

import functools
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from data.npz import read_arrays
from experiments.errors import PageError
from models.errors import ModelError
from models.port import from_torch
from training.checkpoint import check_same_model, leaves, trained
from training.errors import TrainingError


def frozen_variables(role: str, network: nn.Module, weights: str, image: np.ndarray) -> dict[str, Any]:
    """The variables of a frozen network, on the host.

    Args:
      role: its key in the page's section `frozen`.
      weights: a work directory that trained the network; an .npz of a state dict in one of the namings that the
        network's file has in PORTS; or "", and the network keeps its random initial weights, the same in every run.
      image: [1, H, W, C], whose shape the network is initialised for.

    Raises:
      PageError: weights that are not found or do not fit the network.
    """
    initialise = functools.partial(network.init, train=False)
    if not weights:
        variables = jax.jit(initialise)(jax.random.key(0), jnp.asarray(image))
        return jax.tree.map(np.asarray, variables)
    like, path = jax.eval_shape(initialise, jax.random.key(0), image), pathlib.Path(weights).expanduser()
    where = f"frozen.{role}.weights={weights!r}"
    try:
        return _of_run(path, like) if path.is_dir() else _of_file(path, network, like)
    except (TrainingError, ModelError, ValueError) as error:
        raise PageError(f"{where}: {str(error).splitlines()[0]}") from error


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


def _of_file(file: pathlib.Path, network: nn.Module, like: Mapping) -> dict[str, Any]:
    """Of an .npz; the naming is the first of the network's PORTS that fits."""
    if not file.is_file():
        raise ValueError("there is no such work directory or file")
    tensors, failures = read_arrays(file), []
    for port in getattr(sys.modules[type(network).__module__], "PORTS", {}).values():
        try:
            return from_torch(tensors, like, port)
        except ModelError as error:
            failures.append(error)
    raise failures[-1] if failures else ValueError(f"{type(network).__name__} has no table of names for weights")
