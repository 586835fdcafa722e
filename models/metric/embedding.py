"""An embedding on the unit sphere, in which distance means difference (Schroff et al. 2015).

Schroff, Kalenichenko, Philbin, "FaceNet: A Unified Embedding for Face Recognition and Clustering", CVPR 2015, figure 2:
any network, a linear layer, L2 normalisation.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.layers.precision import exact


class Embedding(nn.Module):
    """f(x) / ‖f(x)‖, where f is a backbone without a head and a linear layer."""

    conditions: ClassVar[tuple[str, ...]] = ()

    backbone: nn.Module  # (x, train) -> a dictionary with "pre_logits" [B, D]
    dim: int = 128  # of the embedding
    headless: bool = False  # True: the maps and features of the backbone are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> [B, dim] of length 1, or without a head the dictionary of the backbone."""
        features = self.backbone(x, train)
        if self.headless:
            return features
        dense = nn.Dense(self.dim, dtype=self.dtype, param_dtype=self.param_dtype, name="embedding")
        y = exact(dense(features["pre_logits"]))
        return y / jnp.sqrt(jnp.square(y).sum(-1, keepdims=True) + 1e-12)
