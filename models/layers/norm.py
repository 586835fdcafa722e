"""Normalisation layers by name: one table for all networks."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from models.errors import choose


def batch_norm(train: bool, axis_name: str | None, dtype, param_dtype, **fields) -> partial:
    """A BatchNorm constructor (Ioffe & Szegedy 2015) for one forward pass; `fields` override those set here.

    In training it normalises with the statistics of the batch, over `axis_name` too if there is one, and moves the
    running statistics by a tenth: flax's momentum 0.9 is torch's 0.1. The running variance is the biased one: torch
    multiplies the variance of a batch of N values per channel by N/(N-1) before it moves its own.

    Statistics are float32 for every compute type, and float64 where the parameters are float64.
    """
    constructor = partial(
        nn.BatchNorm,
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        axis_name=axis_name,
        dtype=dtype,
        param_dtype=param_dtype,
        # This also holds the running statistics to float32, which float64 parameters must avoid.
        force_float32_reductions=param_dtype != jnp.float64,
    )
    return partial(constructor, **fields)


def _per_example(module, train, axis_name, dtype, param_dtype, **fields):
    return partial(module, **{"epsilon": 1e-5, "dtype": dtype, "param_dtype": param_dtype, **fields})


def _none(train, axis_name, dtype, param_dtype, **fields):
    return lambda **_: lambda x: x


# name -> (train, axis_name, dtype, param_dtype, **fields) -> a constructor of layers [B, ..., C] -> [B, ..., C].
NORMS = {
    "batch": batch_norm,
    "layer": partial(_per_example, nn.LayerNorm),  # over the channels of a position. Ba et al. 2016
    "group": partial(_per_example, nn.GroupNorm),  # over 32 groups of channels of an example. Wu & He 2018
    "instance": partial(_per_example, nn.InstanceNorm),  # over each channel of an example. Ulyanov et al. 2016
    "rms": partial(_per_example, nn.RMSNorm),  # over the channels, without their mean. Zhang & Sennrich 2019
    "none": _none,  # the identity, without parameters
}


def norm(name: str, train: bool, axis_name: str | None, dtype, param_dtype, **fields) -> Callable:
    """The constructor of the normalisation `name`, for one forward pass: `norm(...)(name="norm1")(x)`.

    Args:
      name: a key of NORMS.
      train: whether BatchNorm uses and moves the statistics of the batch; the others ignore it.
      axis_name: the mapped axis that BatchNorm averages over; the others ignore it.
      fields: fields of the flax module, such as `num_groups`; "none" ignores them.

    Raises ModelError for an unknown name.
    """
    return choose(NORMS, "norm", name)(train, axis_name, dtype, param_dtype, **fields)
