"""Random filters: one convolution at several scales, never trained, describes textures (Ustyuzhaninov et al. 2017).

Ustyuzhaninov, Brendel, Gatys, Bethge, "What does it take to generate natural textures?", ICLR 2017: the multi-scale
network has one layer with 128 filters of each of eight sizes.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp


class RandomFilters(nn.Module):
    """relu(conv(x)) for each size of filter. `seed` alone gives the weights, not the key of `init`."""

    conditions: ClassVar[tuple[str, ...]] = ()

    sizes: tuple[int, ...] = (3, 5, 7, 11, 15, 23, 37, 55)  # pixels
    width: int = 128  # filters of each size
    seed: int = 0
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> {"stage1": [B, H, W, width · number of sizes]}."""
        uniform = nn.initializers.glorot_uniform()

        def weights(key, shape, dtype):
            return uniform(jax.random.fold_in(jax.random.key(self.seed), shape[0]), shape, dtype)

        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = lambda size: nn.Conv(
            self.width, (size, size), use_bias=False, kernel_init=weights, name=f"conv{size}", **types
        )
        return {"stage1": nn.relu(jnp.concatenate([conv(size)(x) for size in self.sizes], -1))}
