"""What detectors do alike on every map of a pyramid."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from models.errors import ModelError, choose
from models.layers import anchors


def levels_of(maps: Mapping[str, jax.Array], levels: Sequence[str], count: int) -> list[jax.Array]:
    """The maps that a detector reads, finest first: those named, or all maps [B, h, w, C].

    Raises ModelError where a map is missing or there are not `count` of them.
    """
    if levels:
        chosen = [choose(dict(maps), "levels", name) for name in levels]
    else:
        chosen = sorted((x for x in maps.values() if x.ndim == 4), key=lambda x: -x.shape[1] * x.shape[2])
    if len(chosen) != count:
        raise ModelError(f"the backbone has {len(chosen)} maps ({', '.join(maps)}), and there are sizes for {count}")
    return chosen


def anchors_of(maps: Sequence[jax.Array], image: jax.Array, cells: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """The boxes `cells` [A, 4] about each cell of each map: [h · w · A, 4]. A stride is ⌊image / map⌋ pixels."""
    size = image.shape[1:3]
    return tuple(
        anchors.grid(cell, x.shape[1:3], (size[0] // x.shape[1], size[1] // x.shape[2]))
        for x, cell in zip(maps, cells, strict=True)
    )


class Tower(nn.Module):
    """`depth` 3×3 convolutions, each normalised and rectified, with the same parameters for every map."""

    depth: int
    conv: Any
    norm: Any = None  # a constructor of normalisations

    @nn.compact
    def __call__(self, maps):
        """maps: [B, h, w, C] each -> the same shapes."""
        for i in range(self.depth):
            conv = self.conv(maps[0].shape[-1], (3, 3), padding=1, name=f"conv{i}")
            norm = self.norm(name=f"norm{i}") if self.norm else lambda x: x
            maps = [nn.relu(norm(conv(x))) for x in maps]
        return maps


def per_anchor(maps: Sequence[jax.Array], numbers: int) -> tuple[jax.Array, ...]:
    """[B, h, w, A · numbers] -> [B, h · w · A, numbers], for each map."""
    return tuple(x.reshape(len(x), -1, numbers) for x in maps)
