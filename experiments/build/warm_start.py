"""`train.init_from`: a run that begins with the parameters of another one."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.errors import near
from models.interfaces import Adaptable
from training.checkpoint import check_same_model, leaves, trained
from training.errors import TrainingError
from training.step import TrainState, ema_of


def take_parameters(state: TrainState, networks: Mapping[str, Any], where: str, skip: Sequence[str]) -> TrainState:
    """`state` with the parameters and statistics of the work directory `where`.

    Args:
      networks: by player. One that is Adaptable takes parameters of another image size.
      skip: regular expressions on the paths of leaves that keep their initial values.

    Raises:
      TrainingError: no checkpoint, a pattern that matches nothing, a leaf that does not fit.
    """
    ours = {"params": state.params, "stats": state.stats}
    try:
        theirs = leaves(trained(where))
    except TrainingError as error:
        raise TrainingError(f"train.init_from: {error}") from error
    for pattern in skip:
        if not any(re.search(pattern, path) for path in leaves(ours)):
            raise TrainingError(f"train.init_except: {pattern!r} matches no parameter{near(pattern, leaves(ours))}")
    wanted = {path: x for path, x in leaves(ours).items() if not any(re.search(pattern, path) for pattern in skip)}
    # The average is float32 and parameters may be less precise: only the shape decides whether a model fits.
    theirs = {path: _fitted(path, x, wanted[path], networks) for path, x in theirs.items() if path in wanted}
    check_same_model(wanted, theirs, where)
    new = jax.tree.unflatten(jax.tree.structure(ours), [theirs.get(path, x) for path, x in leaves(ours).items()])
    return state.replace(**new, ema={player: ema_of(new["params"][player]) for player in state.ema})


def _fitted(path: str, value: np.ndarray, like: np.ndarray, networks: Mapping[str, Any]) -> np.ndarray:
    """A leaf that was trained elsewhere, adapted by its network where the shapes differ and the network can."""
    _, player, *name = path.split("/")
    network = networks.get(player)
    if value.shape != like.shape and isinstance(network, Adaptable):
        value = np.asarray(network.adapt("/".join(name), value, like.shape))
    return value.astype(like.dtype)
