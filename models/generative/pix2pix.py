"""pix2pix: a U-Net from image to image and a discriminator of patches that sees both (Isola et al. 2017).

Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017, appendix 6.1;
layers without biases in front of normalisations, as in the authors' code.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.conv import ConvTranspose
from models.layers.dropout import Dropout
from models.layers.precision import exact
from models.port import Port

kernel_init = nn.initializers.normal(0.02)


def scale_init(key, shape, dtype=jnp.float32):
    """Around one as the kernels are around zero."""
    return 1 + kernel_init(key, shape, dtype)


class Norm(nn.Module):
    """Batch normalisation without running statistics: in training those of the batch, in tests of each example alone.

    "We apply batch normalization using the statistics of the test batch"; their test batch is one image (section 3.4).
    """

    epsilon: float = 1e-5
    axis_name: str | None = None
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> [B, H, W, C]; in training over `axis_name` too, if there is one."""
        scale = self.param("scale", scale_init, x.shape[-1:], self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], self.param_dtype)
        axes = (0, 1, 2) if train else (1, 2)
        mean = lambda y: y.mean(axes, keepdims=True)
        if train and self.axis_name and not self.is_initializing():
            mean = lambda y: jax.lax.pmean(y.mean(axes, keepdims=True), self.axis_name)
        y = exact(x)
        y = y - mean(y)
        return (y * jax.lax.rsqrt(mean(y**2) + self.epsilon) * scale + bias).astype(x.dtype)


class Generator(nn.Module):
    """C64-C128-C256-C512-… down to one pixel, CD512-CD512-CD512-C512-… up again, each joined with its mirror.

    The noise is dropout in the first three layers up, "at both training and test time": in tests it is drawn where the
    call has a key for "dropout".
    """

    conditions: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    shape: tuple[int, int, int] = (256, 256, 3)  # H, W, C of an image; C is read
    width: int = 64  # of the first layer; the fourth and later ones have eight times as many channels
    depth: int = 8  # halvings
    dropout_rate: float = 0.5
    headless: bool = False  # True: the maps are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] in [-1, 1], H and W multiples of 2^depth -> [B, H, W, C] in [-1, 1].

        Without a head the maps "down0", ..., and "up{depth - 1}", ..., "up1".
        """
        if any(side % (1 << self.depth) for side in x.shape[1:3]):
            sides, needed = f"{x.shape[1]}×{x.shape[2]}", f"multiples of {1 << self.depth} (depth={self.depth})"
            raise ModelError(f"pix2pix_generator: images of {sides} are not {needed}")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        norm = partial(Norm, axis_name=self.axis_name, **types)
        conv = partial(nn.Conv, strides=2, padding=1, use_bias=False, kernel_init=kernel_init, **types)
        up = partial(ConvTranspose, kernel_size=(4, 4), strides=(2, 2), kernel_init=kernel_init, **types)
        widths = [self.width << min(i, 3) for i in range(self.depth)]
        drawing = train or self.has_rng("dropout")

        maps = {}
        for i, width in enumerate(widths):
            x = conv(width, (4, 4), name=f"down{i}")(nn.leaky_relu(x, 0.2) if i else x)
            if 0 < i < self.depth - 1:  # neither the first nor, of one pixel, the last
                x = norm(name=f"down_norm{i}")(x, train)
            maps[f"down{i}"] = x
        for i in reversed(range(1, self.depth)):
            x = up(widths[i - 1], use_bias=False, name=f"up{i}")(nn.relu(x))
            x = norm(name=f"up_norm{i}")(x, train)
            if i >= self.depth - 3:
                x = Dropout(self.dropout_rate)(x, train=drawing)
            x = maps[f"up{i}"] = jnp.concatenate([maps[f"down{i - 1}"], x], axis=-1)
        if self.headless:
            return maps
        return nn.tanh(exact(up(self.shape[-1], name="up0")(nn.relu(x))))


class Discriminator(nn.Module):
    """C64-C128-C256-C512 and a score for each patch: at 3 layers a patch has 70×70 pixels, at 2 34×34, at 1 16×16."""

    conditions: ClassVar[tuple[str, ...]] = ()

    width: int = 64
    layers: int = 3  # convolutions with stride 2
    headless: bool = False  # True: the maps are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C], of a pair both images in its channels -> scores [B, h, w], [B, 30, 30] at 256×256.

        Without a head the maps "stage1", ..., one for each convolution but the last.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        conv = partial(nn.Conv, kernel_size=(4, 4), padding=1, kernel_init=kernel_init, **types)

        maps = {}
        for i in range(self.layers + 1):
            stride = 2 if i < self.layers else 1
            x = conv(self.width << min(i, 3), strides=stride, use_bias=i == 0, name=f"conv{i}")(x)
            if i > 0:  # the first layer is not normalised
                x = Norm(axis_name=self.axis_name, **types, name=f"norm{i}")(x, train)
            x = maps[f"stage{i + 1}"] = nn.leaky_relu(x, 0.2)
        if self.headless:
            return maps
        x = conv(1, name=f"conv{self.layers + 1}")(x)
        return exact(x[..., 0])


STATISTICS = (r"\.running_(mean|var)$",)  # which nothing reads


def _unet(depth: int) -> Port:
    """The places of our layers in their blocks. Each block holds the next deeper one."""

    def place(match):
        kind, level = match[1], int(match[2])
        block = "model/" + "model/1/" * (level > 0) + "model/3/" * max(level - 1, 0)
        outer, middle, inner = {
            "down": (0, 1, 1),
            "down_norm": (0, 2, 2),
            "up": (3, 5, 3),
            "up_norm": (0, 6, 4),
        }[kind]
        return f"{block}model/{outer if level == 0 else inner if level == depth - 1 else middle}/"

    return Port(names={r"^(down|down_norm|up|up_norm)(\d+)/": place}, ignored=STATISTICS, fields={"depth": depth})


# https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix
PORTS = {
    "junyanz_unet_256": _unet(8),
    "junyanz_unet_128": _unet(7),
    "junyanz_basic": Port(
        names={
            r"^conv(\d+)/": lambda match: f"model/{max(3 * int(match[1]) - 1, 0)}/",
            r"^norm(\d+)/": lambda match: f"model/{3 * int(match[1])}/",
        },
        ignored=STATISTICS,
    ),
}
