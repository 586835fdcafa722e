"""Normalisation as the residual networks' papers and torchvision use it."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp


def batch_norm(train: bool, axis_name: str | None, dtype, param_dtype, **kwargs) -> partial:
    """A BatchNorm constructor (Ioffe & Szegedy 2015) for one forward pass; `kwargs` override its fields.

    Training normalises with the statistics of the batch (over `axis_name` too, if there is one) and moves the
    running ones by a tenth: flax's momentum 0.9 is torch's 0.1. The running variance is the biased one: torch
    multiplies the variance of a batch of N values per channel by N/(N-1) before it moves its own.

    Statistics are float32 whatever the compute type, and float64 where the parameters are.
    """
    return partial(
        nn.BatchNorm,
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        axis_name=axis_name,
        dtype=dtype,
        param_dtype=param_dtype,
        # This also holds the running statistics to float32, so float64 parameters must do without it.
        force_float32_reductions=param_dtype != jnp.float64,
        **kwargs,
    )
