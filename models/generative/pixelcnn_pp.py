"""PixelCNN++: a mixture of logistics for whole pixels, at three resolutions (Salimans et al. 2017).

Salimans, Karpathy, Chen & Kingma, "PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and
Other Modifications", ICLR 2017. The layers and their order are those of the authors' code, openai/pixel-cnn.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.conv import ConvTranspose
from models.layers.dropout import Dropout
from models.layers.precision import exact


def concat_elu(x):
    """elu(x) beside elu(−x): [..., D] -> [..., 2D]."""
    return nn.elu(jnp.concatenate([x, -x], axis=-1))


def shifted(x, rows: int, columns: int):
    """x: [B, H, W, D], moved down and to the right; zeros come in."""
    return jnp.pad(x, ((0, 0), (rows, 0), (columns, 0), (0, 0)))[:, : x.shape[1], : x.shape[2]]


class Stream(nn.Module):
    """A convolution of one of the two streams, weight-normalised (Salimans & Kingma 2016).

    The stream "above" reads as many columns on both sides and no row below; the other none to the right either. The
    authors set the scales such that the first batch comes out with unit variance; here they start from `scale`.
    """

    features: int
    above: bool
    kernel_size: tuple[int, int] = (0, 0)  # (0, 0): 2×3 above, 2×2 otherwise
    direction: str = "same"  # "down" halves the image, "up" doubles it
    scale: float = 1.0
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, D] -> [B, H', W', features]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        rows, columns = self.kernel_size if any(self.kernel_size) else (2, 3 if self.above else 2)
        right = columns // 2 if self.above else 0
        norm = partial(nn.WeightNorm, scale_init=nn.initializers.constant(self.scale), **types)
        if self.direction == "up":
            deconv = ConvTranspose(self.features, (rows, columns), (2, 2), "VALID", **types, name="deconv")
            y = norm(deconv, feature_axes=-2, name="norm")(x)
            return y[:, : 2 * x.shape[1], right : right + 2 * x.shape[2]]
        strides = 2 if self.direction == "down" else 1
        conv = nn.Conv(self.features, (rows, columns), strides, padding="VALID", **types, name="conv")
        return norm(conv, name="norm")(jnp.pad(x, ((0, 0), (rows - 1, 0), (columns - 1 - right, right), (0, 0))))


class GatedBlock(nn.Module):
    """x + a · σ(b), where a and b are two convolutions away, with what another map adds after the first."""

    above: bool
    dropout_rate: float
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x, beside, train: bool):
        """x: [B, H, W, D]; beside: [B, H, W, E] or None -> [B, H, W, D]."""
        types, features = dict(dtype=self.dtype, param_dtype=self.param_dtype), x.shape[-1]
        y = Stream(features, self.above, name="conv1", **types)(concat_elu(x))
        if beside is not None:
            dense = nn.Dense(features, name="beside", **types)
            y = y + nn.WeightNorm(dense, name="norm", **types)(concat_elu(beside))
        y = Dropout(self.dropout_rate)(concat_elu(y), train)
        a, b = jnp.split(Stream(2 * features, self.above, scale=0.1, name="conv2", **types)(y), 2, axis=-1)
        return x + a * nn.sigmoid(b)


class PixelCNNpp(nn.Module):
    """Two streams, of the rows above and of those with what is to the left, on their way down and up again."""

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    width: int = 160
    blocks: int = 5  # at each resolution on the way down; one more at the lower two on the way up
    mixtures: int = 10
    dropout_rate: float = 0.5
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] in [-1, 1], sides multiples of 4, C = 1 or 3 -> the mixtures, [B, H, W, F].

        F = 10 · mixtures for three channels, 3 · mixtures for one.
        """
        if x.shape[1] % 4 or x.shape[2] % 4:
            raise ModelError(f"{x.shape[1]}×{x.shape[2]} cannot be halved twice")
        channels, types = x.shape[-1], dict(dtype=self.dtype, param_dtype=self.param_dtype)
        stream = partial(Stream, self.width, **types)
        above, left = partial(stream, True), partial(stream, False)
        block = partial(GatedBlock, dropout_rate=self.dropout_rate, **types)

        x = jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)  # where the image is, and where it was padded
        u = shifted(above(kernel_size=(2, 3), name="above_in")(x), 1, 0)
        v = shifted(above(kernel_size=(1, 3), name="left_in_above")(x), 1, 0)
        v = v + shifted(left(kernel_size=(2, 1), name="left_in")(x), 0, 1)

        maps = [(u, v)]
        for level in range(3):
            for i in range(self.blocks):
                u = block(True, name=f"down{level}_above{i}")(u, None, train)
                v = block(False, name=f"down{level}_left{i}")(v, u, train)
                maps.append((u, v))
            if level < 2:
                u = above(direction="down", name=f"downsample{level}_above")(u)
                v = left(direction="down", name=f"downsample{level}_left")(v)
                maps.append((u, v))

        u, v = maps.pop()
        for level in range(3):
            for i in range(self.blocks + (level > 0)):
                above_skip, left_skip = maps.pop()
                u = block(True, name=f"up{level}_above{i}")(u, above_skip, train)
                v = block(False, name=f"up{level}_left{i}")(v, jnp.concatenate([u, left_skip], -1), train)
            if level < 2:
                u = above(direction="up", name=f"upsample{level}_above")(u)
                v = left(direction="up", name=f"upsample{level}_left")(v)

        head = nn.Dense((10 if channels == 3 else 3) * self.mixtures, name="head", **types)
        return exact(nn.WeightNorm(head, name="norm", **types)(nn.elu(v)))

    def step(self, x, position):
        """x: [B, H, W, C], right before the pixel `position` [] int32 -> [B, F] of that pixel. Nothing is kept."""
        output = self(x, train=False)
        return output.reshape(len(x), -1, output.shape[-1])[:, position]
