"""Non-local block: every position sees all positions. Wang, Girshick, Gupta, He, CVPR 2018, section 3."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from models.layers.precision import exact


class NonLocal(nn.Module):
    """x + norm(W_z softmax(θ(x) φ(x)ᵀ) g(x)): equation 6 with the embedded Gaussian of figure 2.

    The inner width is C/2. The scale of the norm starts at 0, so the block starts as the identity (section 4.1).
    """

    norm: Any  # constructor of a BatchNorm
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C]."""
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        project = partial(nn.Conv, kernel_size=(1, 1), kernel_init=he, dtype=self.dtype, param_dtype=self.param_dtype)
        inner = (len(x), -1, x.shape[-1] // 2)
        theta, phi, g = (project(inner[-1], name=name)(x).reshape(inner) for name in ("theta", "phi", "g"))
        weights = nn.softmax(exact(theta @ phi.swapaxes(1, 2))).astype(g.dtype)
        y = (weights @ g).reshape(*x.shape[:3], inner[-1])
        return x + self.norm(scale_init=nn.initializers.zeros, name="bn")(project(x.shape[-1], name="out")(y))
