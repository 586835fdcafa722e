"""Spectral normalisation: layers whose kernels have the largest singular value 1 (Miyato et al. 2018)."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn


def spectral(layer: Callable[..., nn.Module], train: bool, param_dtype) -> Callable[..., Callable]:
    """The constructor `layer` (of nn.Conv, nn.Dense, nn.Embed), whose layers divide their kernel by its norm σ.

    The kernel counts as a matrix [everything else, outputs]. σ comes from one step of power iteration (Miyato et al.
    2018, algorithm 1): training keeps the vector u of the step; evaluation takes the same step and keeps nothing. No
    gradient flows through the singular vectors. u is in the collection "buffers", which no device averages: it follows
    from the weights alone, so it is equal everywhere.
    """

    def build(*fields, **more):
        norm = nn.SpectralNorm(layer(*fields, **more), collection_name="buffers", param_dtype=param_dtype)
        return partial(norm, update_stats=train)

    return build
