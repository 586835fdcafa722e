"""DnCNN: a plain network of convolutions that answers with the noise of an image (Zhang et al. 2017).

Zhang, Zuo, Chen, Meng, Zhang, "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", IEEE
Transactions on Image Processing 2017, section III.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.port import Port

he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
LEAST = 0.025  # of the scale of a normalisation at the start, either sign


def scale_init(key, shape, dtype=jnp.float32):
    """N(0, 2 / 9C) for C channels, pushed away from 0 to ±LEAST, as the authors' code: the first answers are small."""
    drawn = jnp.sqrt(2 / (9 * shape[-1])) * jax.random.normal(key, shape, dtype)
    return jnp.where(drawn < 0, jnp.minimum(drawn, -LEAST), jnp.maximum(drawn, LEAST))


class DnCNN(nn.Module):
    """conv + ReLU, (conv + norm + ReLU) × (depth − 2), conv; all 3×3, zeros around the image. Figure 1.

    The paper: depth 17 for noise of a known level, 20 where the level is unknown.
    """

    conditions: ClassVar[tuple[str, ...]] = ()

    depth: int = 17  # convolutions; the network sees 2 depth + 1 pixels
    width: int = 64
    norm: str = "batch"  # a name in NORMS; "none" is what remains once the statistics are merged into the kernels
    headless: bool = False  # True: the maps are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C], an image with noise -> the noise [B, H, W, C], in the unit of x.

        Without a head the maps "stage1", ..., one for each convolution but the last.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        norm = normalisation(self.norm, train, self.axis_name, scale_init=scale_init, **types)
        conv = partial(nn.Conv, kernel_size=(3, 3), padding=1, kernel_init=he_normal, **types)
        channels, use_bias = x.shape[-1], self.norm == "none"

        x = nn.relu(conv(self.width, name="conv0")(x))
        maps = {"stage1": x}
        for i in range(1, self.depth - 1):
            x = nn.relu(norm(name=f"norm{i}")(conv(self.width, use_bias=use_bias, name=f"conv{i}")(x)))
            maps[f"stage{i + 1}"] = x
        if self.headless:
            return maps
        return exact(conv(channels, name=f"conv{self.depth - 1}")(x))


# kair: https://github.com/cszn/KAIR, the authors' networks for torch, which have norm="none".
PORTS = {"kair": Port(names={r"^conv(\d+)/": lambda match: f"model/{2 * int(match[1])}/"})}
