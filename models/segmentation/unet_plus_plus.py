"""U-Net++: between encoder and decoder, a triangle of nodes that close the gap step by step (Zhou et al. 2018).

Zhou, Siddiquee, Tajbakhsh, Liang, "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018,
section 3.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.conv import ConvTranspose
from models.layers.norm import norm as normalisation
from models.layers.pool import max_pool
from models.layers.precision import exact
from models.segmentation.unet import DoubleConv, align, he_normal, he_normal_up


class UNetPlusPlus(nn.Module):
    """x^{i,j} = H(x^{i−1,j} pooled) for j = 0, H([x^{i,0}, …, x^{i,j−1}, U(x^{i+1,j−1})]) otherwise: equation 1."""

    conditions: ClassVar[tuple[str, ...]] = ()

    width: int = 32  # channels of the first level; each level down has twice as many
    depth: int = 4
    norm: str = "none"  # a name in NORMS; "batch" is what most reimplementations use
    # Weight of the loss of a head over each of the nodes x^{0,j}, for training ("deep supervision", section 3.2); the
    # mean of the heads is the answer ("accurate mode"). 0: there is one head, over the last node.
    auxiliary: float = 0.0
    num_classes: int = 2
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] float, at least 2^depth pixels a side -> logits [B, H, W, num_classes].

        In training with deep supervision a tuple of the logits of all heads, the last node's first. With num_classes=0
        a dictionary of maps: "stage1" at stride 1, ... on the way down, "bottom" at 2^depth, and "up1" to "up{depth}",
        the nodes x^{0,j}.
        """
        if min(x.shape[1:3]) < 2**self.depth:
            side = 2**self.depth
            raise ModelError(f"depth={self.depth} needs images of {side}×{side}, not {x.shape[1]}×{x.shape[2]}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        norm = normalisation(self.norm, train, self.axis_name, **types)
        conv = partial(nn.Conv, padding="SAME", use_bias=self.norm == "none", kernel_init=he_normal, **types)
        double = partial(DoubleConv, conv=conv, norm=norm)

        nodes = [[] for _ in range(self.depth + 1)]  # of each level
        for level in range(self.depth + 1):
            x = max_pool(x) if level else x
            x = double(self.width << level, name=f"node{level}_0")(x)
            nodes[level].append(x)
        for j in range(1, self.depth + 1):
            for level in range(self.depth + 1 - j):
                features, name = self.width << level, f"{level}_{j}"
                up = ConvTranspose(features, (2, 2), (2, 2), kernel_init=he_normal_up, name=f"upsample{name}", **types)
                _, below = align(nodes[level][0], up(nodes[level + 1][j - 1]))
                nodes[level].append(double(features, name=f"node{name}")(jnp.concatenate([*nodes[level], below], -1)))
        if not self.num_classes:
            down = {f"stage{level + 1}": nodes[level][0] for level in range(self.depth)}
            up = {f"up{j}": nodes[0][j] for j in range(1, self.depth + 1)}
            return {**down, "bottom": nodes[-1][0], **up}

        read = range(1, self.depth + 1) if self.auxiliary else [self.depth]
        head = partial(nn.Conv, self.num_classes, (1, 1), kernel_init=he_normal, **types)
        logits = [exact(head(name=f"head{j}")(nodes[0][j])) for j in reversed(read)]
        return tuple(logits) if train and self.auxiliary else sum(logits) / len(logits)
