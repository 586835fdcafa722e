"""PixelCNN: masked convolutions, so that a value sees those before it (Van den Oord et al. 2016).

Van den Oord, Kalchbrenner & Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016, sections 3.3 and 3.4. Values to
the upper right that no stack of such convolutions reaches are its blind spot; models/generative/gated_pixelcnn.py has
none.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.layers.causal_conv import CausalConv, may_read, of_channel, owners, place_of
from models.layers.precision import exact


class PixelCNN(nn.Module):
    """A 7×7 convolution with mask A; residual blocks of 1×1, 3×3, 1×1 with mask B (figure 5); two layers of 1×1."""

    conditions: ClassVar[tuple[str, ...]] = ()

    width: int = 128  # h: inside of a block; 2h between them
    depth: int = 15  # blocks
    first: int = 7  # side of the first kernel
    kernel: int = 3
    hidden: int = 1024  # of the last two layers; the paper has 32 for MNIST
    outputs: int = 256  # logits of each value: 1 for two values, otherwise one for each of them
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool, place=None):
        """x: [B, H, W, C] in [0, 1] -> [B, H, W, C·outputs], or with a place [B, 1, 1, C·outputs] there."""
        types, channels = dict(dtype=self.dtype, param_dtype=self.param_dtype), x.shape[-1]
        own = partial(owners, channels=channels)

        def causal(x, features, side, mask, name, **fields):
            size = (side // 2 + 1, side)
            return CausalConv(features, size, around=True, mask=mask, name=name, **fields, **types)(x, place)

        def pointwise(x, features, name):
            mask = may_read(own(x.shape[-1]), own(features), True)[None, None]
            return nn.Conv(features, (1, 1), mask=mask, name=name, **types)(x)

        mask = may_read(own(channels), own(2 * self.width), False)
        x = causal(2 * x - 1, 2 * self.width, self.first, mask, "first", keep=False)
        mask = may_read(own(self.width), own(self.width), True)
        for i in range(self.depth):
            y = nn.relu(pointwise(nn.relu(x), self.width, f"block{i}_reduce"))
            y = nn.relu(causal(y, self.width, self.kernel, mask, f"block{i}_conv"))
            x = x + pointwise(y, 2 * self.width, f"block{i}_expand")
        for i in range(2):
            x = pointwise(nn.relu(x), self.hidden, f"hidden{i}")
        return exact(pointwise(nn.relu(x), channels * self.outputs, "out"))

    def step(self, x, position):
        """x: [B, H, W, C], right before `position` [] int32 -> [B, outputs] of that value."""
        place, channel = place_of(x, position)
        return of_channel(self(x, False, place), channel, x.shape[-1])
