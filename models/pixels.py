"""A picture as the parameter: the image that texture synthesis and style transfer descend on (Gatys et al. 2015)."""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp


class Pixels(nn.Module):
    """One image, which starts as uniform noise in [0, 1]."""

    conditions: ClassVar[tuple[str, ...]] = ()

    shape: tuple[int, int, int] = (256, 256, 3)  # H, W, C
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, train: bool):
        """-> [1, H, W, C]."""
        pixels = self.param("pixels", nn.initializers.uniform(1.0), self.shape, self.param_dtype)
        return pixels[None].astype(self.dtype or self.param_dtype)
