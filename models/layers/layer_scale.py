"""Layer scale: a learned factor for each channel of a residual branch. Touvron et al., ICCV 2021, section 2.1."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp


class LayerScale(nn.Module):
    """γ · x, where every γ starts at `initial`, so that a deep network starts near the identity."""

    initial: float
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [..., C] -> [..., C]."""
        gamma = self.param("gamma", nn.initializers.constant(self.initial), (x.shape[-1],), self.param_dtype)
        return x * gamma.astype(x.dtype)
