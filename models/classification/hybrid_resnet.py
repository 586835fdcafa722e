"""The ResNet in front of a vision transformer: GroupNorm, standardised weights, SAME padding (Dosovitskiy et al. 2021).

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, section 4.1: a ResNet-50 with the normalisation and the
convolutions of BiT. The authors' code, and timm's, has the blocks of ResNet v1.5 and TensorFlow's padding.

    ViT("B", patch=1, backbone=HybridResNet((3, 4, 9), num_classes=0), level="stage3")             # R50+B/16
    ViT("B", patch=1, backbone=HybridResNet((2, 2, 2, 2), num_classes=0), level="stage4")          # R26+B/32
    ViT("L", patch=1, backbone=HybridResNet((3, 4, 6, 3), num_classes=0), level="stage4")          # R50+L/32
    ViT("Ti", patch=8, backbone=HybridResNet((), num_classes=0), level="stem")                     # R+Ti/16
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.layers.weight_standardisation import StandardisedConv

GROUPS = 32


def same_conv(x, features: int, window: int, strides: int = 1, **fields):
    """A standardised convolution, padded so that ceil(side / strides) remains; the odd pixel is below and right."""
    pads = jax.lax.padtype_to_pads(x.shape[1:3], (window, window), (strides, strides), "SAME")
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    return StandardisedConv(features, (window, window), strides, **fields)(x)


class Bottleneck(nn.Module):
    """1×1 to `channels`, 3×3/strides, 1×1 to 4 · `channels`, with the input added before the last ReLU."""

    channels: int
    strides: int
    conv: Any  # (x, features, window, strides, name) -> map
    norm: Any  # constructor of a GroupNorm

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/strides, W/strides, 4 channels]."""
        y = nn.relu(self.norm(name="norm1")(self.conv(x, self.channels, 1, name="conv1")))
        y = nn.relu(self.norm(name="norm2")(self.conv(y, self.channels, 3, self.strides, name="conv2")))
        y = self.norm(name="norm3")(self.conv(y, 4 * self.channels, 1, name="conv3"))
        if x.shape != y.shape:
            x = self.norm(name="shortcut_norm")(self.conv(x, y.shape[-1], 1, self.strides, name="shortcut"))
        return nn.relu(x + y)


class HybridResNet(nn.Module):
    """7×7/2 convolution, 3×3/2 max pooling, a stage for each of `blocks`, the mean over space, classifier."""

    conditions: ClassVar[tuple[str, ...]] = ()

    blocks: tuple[int, ...] = (3, 4, 9)  # of each stage
    width: int = 64  # channels of the stem; stage n has 2^(n+1) times as many
    num_classes: int = 1000
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, 3] float -> logits [B, num_classes].

        With num_classes=0 a dictionary of maps: "stem" behind the pooling at stride 4, "stage1" at 4, "stage2" at 8,
        "stage3" at 16, ...; and "pre_logits" [B, D]. Sides that the strides do not divide are rounded up.
        """
        if self.width < GROUPS or self.width % GROUPS:
            raise ModelError(f"the normalisation has {GROUPS} groups, which width={self.width} is not a multiple of")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        conv = partial(same_conv, kernel_init=he, **types)
        norm = normalisation("group", train, None, **types)

        x = nn.relu(norm(name="stem_norm")(conv(x, self.width, 7, 2, name="stem")))
        x = nn.max_pool(x, (3, 3), (2, 2), "SAME")
        maps = {"stem": x}
        for stage, count in enumerate(self.blocks):
            for i in range(count):
                strides = 2 if stage > 0 and i == 0 else 1
                x = Bottleneck(self.width * 2**stage, strides, conv, norm, name=f"stage{stage + 1}_{i}")(x)
            maps[f"stage{stage + 1}"] = x
        x = x.mean((1, 2))
        if not self.num_classes:
            return {**maps, "pre_logits": x}
        return exact(nn.Dense(self.num_classes, name="fc", **types)(x))
