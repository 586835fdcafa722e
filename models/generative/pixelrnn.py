"""PixelRNN: LSTMs that run over the rows of an image, or along its diagonals (Van den Oord et al. 2016).

Van den Oord, Kalchbrenner & Kavukcuoglu, "Pixel Recurrent Neural Networks", ICML 2016, sections 3.1 to 3.3. Where an
LSTM gets what is at a pixel, it gets it from convolutions with mask B, for all pixels at once. Along diagonals a value
sees all before it, but for one: the first pixel of a row sees the last value of the row above only if the first kernel
reaches it.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from models.errors import choose
from models.layers.causal_conv import CausalConv, may_read, owners
from models.layers.precision import exact


def skew(x):
    """x: [B, H, W, D] -> [B, H, W + H − 1, D]: row i is moved to the right by i pixels, between zeros."""
    batch, height, width, features = x.shape
    x = jnp.pad(x, ((0, 0), (0, 0), (0, height), (0, 0))).reshape(batch, -1, features)
    return x[:, : height * (width + height - 1)].reshape(batch, height, -1, features)


def unskew(x):
    """The inverse of `skew`."""
    batch, height, length, features = x.shape
    x = jnp.pad(x.reshape(batch, -1, features), ((0, 0), (0, height), (0, 0)))
    return x.reshape(batch, height, length + 1, features)[:, :, : length + 1 - height]


def lstm(inputs, kernel, offsets):
    """The states [N, B, M, h] of an LSTM that goes along the first axis of `inputs` [N, B, M, 4h] (equation 3).

    kernel: [K, h, 4h]; the gates at m also read the states before at m + offsets[k], zero outside.
    """
    _, batch, count, gates = inputs.shape
    before, after = max(-min(offsets), 0), max(*offsets, 0)

    def step(state, given):
        hidden, cell = state
        padded = jnp.pad(hidden, ((0, 0), (before, after), (0, 0)))
        read = jnp.stack([padded[:, before + offset : before + offset + count] for offset in offsets])
        o, f, i, g = jnp.split(given + jnp.einsum("kbmh,khg->bmg", read, kernel), 4, axis=-1)
        cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * nn.tanh(g)
        hidden = nn.sigmoid(o) * nn.tanh(cell)
        return (hidden, cell), hidden

    zero = jnp.zeros((batch, count, gates // 4), inputs.dtype)
    return jax.lax.scan(step, (zero, zero), inputs)[1]


class RowLSTM(nn.Module):
    """From the top to the bottom; a pixel reads the states of the three pixels above it. Section 3.1."""

    width: int
    mask: np.ndarray  # [I, 4·width]
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, I] -> [B, H, W, width]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        inputs = CausalConv(4 * self.width, (1, 2), mask=self.mask, name="inputs", **types)(x)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (3, self.width, 4 * self.width), self.param_dtype)
        states = lstm(jnp.moveaxis(inputs, 1, 0), kernel.astype(inputs.dtype), (-1, 0, 1))
        return jnp.moveaxis(states, 0, 1)


class DiagonalBiLSTM(nn.Module):
    """Along the diagonals from both upper corners; a pixel reads the states beside it and above it. Section 3.2."""

    width: int
    mask: np.ndarray  # [I, 4·width]
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, I] -> [B, H, W, width]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)

        def direction(x, name):
            inputs = nn.Conv(4 * self.width, (1, 1), mask=self.mask[None, None], name=f"{name}_inputs", **types)(x)
            shape = (2, self.width, 4 * self.width)
            kernel = self.param(f"{name}_kernel", nn.initializers.lecun_normal(), shape, self.param_dtype)
            states = lstm(jnp.moveaxis(skew(inputs), 2, 0), kernel.astype(inputs.dtype), (-1, 0))
            return unskew(jnp.moveaxis(states, 0, 2))

        left = direction(x, "left")
        right = direction(x[:, :, ::-1], "right")[:, :, ::-1]
        # What comes from the right has seen later pixels of its row: a pixel gets it from the row above.
        return left + jnp.pad(right, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]


VARIANTS = {"row": RowLSTM, "diagonal": DiagonalBiLSTM}


class PixelRNN(nn.Module):
    """A 7×7 convolution with mask A, `depth` LSTMs with residual connections (figure 5), two layers of 1×1."""

    conditions: ClassVar[tuple[str, ...]] = ()

    variant: str = "diagonal"  # a name in VARIANTS
    width: int = 64  # h: of the states; 2h between them
    depth: int = 7
    first: int = 7  # side of the first kernel
    hidden: int = 32  # of the last two layers
    outputs: int = 256  # logits of each value: 1 for two values, otherwise one for each of them
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] in [0, 1] -> [B, H, W, C·outputs]."""
        recurrent = choose(VARIANTS, "variant", self.variant)
        types, channels = dict(dtype=self.dtype, param_dtype=self.param_dtype), x.shape[-1]
        own = partial(owners, channels=channels)

        def pointwise(x, features, name):
            mask = may_read(own(x.shape[-1]), own(features), True)[None, None]
            return nn.Conv(features, (1, 1), mask=mask, name=name, **types)(x)

        wide = 2 * self.width
        mask = may_read(own(channels), own(wide), False)
        size = (self.first // 2 + 1, self.first)
        x = CausalConv(wide, size, around=True, mask=mask, name="first", **types)(2 * x - 1)
        mask = may_read(own(wide), np.tile(own(self.width), 4), True)
        for i in range(self.depth):
            x = x + pointwise(recurrent(self.width, mask, name=f"lstm{i}", **types)(x), wide, f"out{i}")
        for i in range(2):
            x = pointwise(nn.relu(x), self.hidden, f"hidden{i}")
        return exact(pointwise(nn.relu(x), channels * self.outputs, "head"))

    def step(self, x, position):
        """x: [B, H, W, C], right before `position` [] int32 -> [B, outputs] of that value. Nothing is kept."""
        return self(x, train=False).reshape(len(x), x[0].size, -1)[:, position]
