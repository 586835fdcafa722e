"""The features of a run's network: what its head reads, or the embedding that it was trained to give."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from experiments.errors import PageError
from training.evaluate import variables


class Embedder:
    """images [N, H, W, C] uint8 of the data's shape -> features [N, D] float32, with a checkpoint of a run.

    Raises PageError where the network has neither a head nor an embedding.
    """

    def __init__(self, run: Any, step: int | None = None):
        state, _, _ = run.restore(step)
        params, stats, _ = variables(state)
        player = run.task.names[0]
        self._weights = {"params": params[player], **stats[player]}
        network, prepare = run.parts.networks[player], run.parts.prepare
        learns = "embedding" in run.task.outputs
        trunk = network if learns else _without_head(network, run.parts.info.shape)
        self._size = run.page.train.evaluate_batch_size

        @jax.jit
        def look(weights, images):
            found = trunk.apply(weights, prepare({"image": images})["image"], train=False)
            return found if learns else found["pre_logits"]

        self._look = look

    def __call__(self, images: np.ndarray) -> np.ndarray:
        size = min(self._size, 1 << max(len(images) - 1, 0).bit_length())
        parts = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            padded = np.concatenate([part, np.repeat(part[-1:], size - len(part), 0)])
            parts.append(np.asarray(self._look(self._weights, padded), np.float32)[: len(part)])
        return np.concatenate(parts)


def _without_head(network: Any, shape: tuple[int, int, int]) -> Any:
    """The network whose answer has "pre_logits"."""
    fields = type(network).__dataclass_fields__
    trunk = network.clone(num_classes=0) if "num_classes" in fields else network
    image = jax.ShapeDtypeStruct((1, *shape), np.float32)
    found = None
    if trunk is not network:
        initialise = functools.partial(trunk.init_with_output, train=False)
        found, _ = jax.eval_shape(initialise, jax.random.key(0), image)
    if not (isinstance(found, Mapping) and "pre_logits" in found):
        raise PageError(f"{type(network).__name__} has no features in front of a head")
    return trunk
