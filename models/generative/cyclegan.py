"""CycleGAN: a residual generator from image to image and a discriminator of patches (Zhu et al. 2017).

Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", ICCV 2017,
appendix 7.2. The generator is that of Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and
Super-Resolution", ECCV 2016; the discriminator is the PatchGAN of Isola, Zhu, Zhou, Efros, "Image-to-Image Translation
with Conditional Adversarial Networks", CVPR 2017. Instance normalisation has no parameters, as in the authors' code.
"""

from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError
from models.layers.conv import ConvTranspose
from models.layers.norm import norm as normalisation
from models.layers.precision import exact
from models.port import Port

kernel_init = nn.initializers.normal(0.02)


def reflect(x, margin: int):
    """x: [B, H, W, C] -> [B, H + 2 margin, W + 2 margin, C], mirrored at the borders."""
    return jnp.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")


class Block(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), 3×3."""

    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C]."""
        y = self.conv(x.shape[-1], (3, 3), padding="VALID", name="conv1")(reflect(x, 1))
        y = nn.relu(self.norm()(y))
        y = self.conv(x.shape[-1], (3, 3), padding="VALID", name="conv2")(reflect(y, 1))
        return x + self.norm()(y)


class Generator(nn.Module):
    """c7s1-64, d128, d256, R256 × blocks, u128, u64, c7s1-C in the paper's notation; at width 64."""

    conditions: ClassVar[tuple[str, ...]] = ()

    shape: tuple[int, int, int] = (256, 256, 3)  # H, W, C of an image; C is read
    width: int = 64
    blocks: int = 9  # the paper: 6 for images of 128×128, 9 for 256×256 and more
    headless: bool = False  # True: the maps are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] in [-1, 1], H and W multiples of 4 -> [B, H, W, C] in [-1, 1].

        Without a head the maps "stem", "down1", "down2", "block0", ..., "up1" and "up2".
        """
        if x.shape[1] % 4 or x.shape[2] % 4:
            raise ModelError(f"cyclegan_generator: images of {x.shape[1]}×{x.shape[2]} are not multiples of 4")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        norm = normalisation("instance", train, None, use_bias=False, use_scale=False, **types)
        conv = partial(nn.Conv, kernel_init=kernel_init, **types)
        up = partial(
            ConvTranspose, kernel_size=(3, 3), strides=(2, 2), padding="VALID", kernel_init=kernel_init, **types
        )

        maps = {}
        x = maps["stem"] = nn.relu(norm()(conv(self.width, (7, 7), padding="VALID", name="stem")(reflect(x, 3))))
        for i in (1, 2):
            x = nn.relu(norm()(conv(self.width << i, (3, 3), strides=2, padding=1, name=f"down{i}")(x)))
            maps[f"down{i}"] = x
        for i in range(self.blocks):
            x = maps[f"block{i}"] = Block(conv, norm, name=f"block{i}")(x)
        for i in (1, 2):
            x = up(self.width << 2 - i, name=f"up{i}")(x)[:, 1:, 1:]  # torch's padding=1, output_padding=1
            x = maps[f"up{i}"] = nn.relu(norm()(x))
        if self.headless:
            return maps
        x = conv(self.shape[-1], (7, 7), padding="VALID", name="output")(reflect(x, 3))
        return nn.tanh(exact(x))


class Discriminator(nn.Module):
    """C64-C128-C256-C512 and a score for each patch: at 3 layers a patch has 70×70 pixels, at 2 34×34, at 1 16×16."""

    conditions: ClassVar[tuple[str, ...]] = ()

    width: int = 64
    layers: int = 3  # convolutions with stride 2
    headless: bool = False  # True: the maps are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> scores [B, h, w], for example [B, 30, 30] at 256×256.

        Without a head the maps "stage1", ..., one for each convolution but the last.
        """
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        norm = normalisation("instance", train, None, use_bias=False, use_scale=False, **types)
        conv = partial(nn.Conv, kernel_size=(4, 4), padding=1, kernel_init=kernel_init, **types)

        maps = {}
        for i in range(self.layers + 1):
            x = conv(self.width << min(i, 3), strides=2 if i < self.layers else 1, name=f"conv{i}")(x)
            if i > 0:  # the first layer is not normalised
                x = norm()(x)
            x = maps[f"stage{i + 1}"] = nn.leaky_relu(x, 0.2)
        if self.headless:
            return maps
        x = conv(1, name=f"conv{self.layers + 1}")(x)
        return exact(x[..., 0])


# Weights that were saved by early versions of torch have statistics of instances, which nothing reads.
STATISTICS = (r"\.running_(mean|var)$",)


def _generator(blocks: int) -> Port:
    """The places of our layers in their nn.Sequential, which also counts paddings, normalisations and ReLUs."""
    up = {f"^up{i}/": f"model/{10 + blocks + 3 * (i - 1)}/" for i in (1, 2)}
    return Port(
        names={
            "^stem/": "model/1/",
            r"^down(\d)/": lambda match: f"model/{1 + 3 * int(match[1])}/",
            r"^block(\d+)/": lambda match: f"model/{10 + int(match[1])}/conv_block/",
            "/conv1/": "/1/",
            "/conv2/": "/5/",
            **up,
            "^output/": f"model/{17 + blocks}/",
        },
        ignored=STATISTICS,
    )


# https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix
PORTS = {
    "junyanz_resnet_9blocks": _generator(9),
    "junyanz_resnet_6blocks": _generator(6),
    "junyanz_basic": Port(
        names={r"^conv(\d+)/": lambda match: f"model/{max(3 * int(match[1]) - 1, 0)}/"}, ignored=STATISTICS
    ),
}
