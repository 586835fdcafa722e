"""GAN of residual blocks: doublings from noise to an image, halvings from an image to a score (Gulrajani et al. 2017).

Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville, "Improved Training of Wasserstein GANs", NeurIPS 2017, appendix F: the
defaults. What later papers change in these networks is in the fields:

- `spectral`, with `pool="sum"`: Miyato, Kataoka, Koyama, Yoshida, "Spectral Normalization for Generative Adversarial
  Networks", ICLR 2018, table 4 (SN-GAN; its generator has the width 256).
- `conditional`: Miyato & Koyama, "cGANs with Projection Discriminator", ICLR 2018. The class sets scale and offset of
  the generator's normalisations, and its embedding is multiplied with what the discriminator's head reads.
- `attention`: Zhang, Goodfellow, Metaxas, Odena, "Self-Attention Generative Adversarial Networks", ICML 2019.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from models.errors import ModelError, choose
from models.layers.norm import norm as normalisation
from models.layers.pool import max_pool
from models.layers.precision import exact
from models.layers.spectral import spectral

# Uniform; √2 times as large in front of a ReLU, as both papers' code has it.
glorot = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
he = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")

POOLS = {"mean": jnp.mean, "sum": jnp.sum}  # of what the discriminator's head reads, over the map


def double(x):
    """x: [B, H, W, C] -> [B, 2H, 2W, C], each pixel four times."""
    return x.repeat(2, 1).repeat(2, 2)


def halve(x):
    """x: [B, H, W, C] -> [B, H / 2, W / 2, C], means of four pixels."""
    return nn.avg_pool(x, (2, 2), (2, 2))


class ClassNorm(nn.Module):
    """A normalisation whose scale and offset are those of a class; with 0 classes its own."""

    norm: Any  # constructor of a BatchNorm
    num_classes: int
    param_dtype: Any

    @nn.compact
    def __call__(self, x, label):
        """x: [B, H, W, C]; label: [B] int, or None with 0 classes -> [B, H, W, C]."""
        if not self.num_classes:
            return self.norm(name="norm")(x)
        x = self.norm(use_scale=False, use_bias=False, name="norm")(x)
        embed = partial(nn.Embed, self.num_classes, x.shape[-1], dtype=x.dtype, param_dtype=self.param_dtype)
        scale = embed(embedding_init=nn.initializers.ones, name="scale")(label)
        offset = embed(embedding_init=nn.initializers.zeros, name="offset")(label)
        return x * scale[:, None, None] + offset[:, None, None]


class Up(nn.Module):
    """A residual block that doubles the sides."""

    features: int
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x, label):
        """x: [B, H, W, C] -> [B, 2H, 2W, features]."""
        y = nn.relu(self.norm(name="norm1")(x, label))
        y = self.conv(self.features, (3, 3), name="conv1")(double(y))
        y = nn.relu(self.norm(name="norm2")(y, label))
        y = self.conv(self.features, (3, 3), name="conv2")(y)
        return y + double(self.conv(self.features, (1, 1), kernel_init=glorot, name="shortcut")(x))


class Down(nn.Module):
    """A residual block without normalisation, which may halve the sides."""

    features: int
    conv: Any
    halved: bool
    first: bool  # it reads the image: no ReLU in front

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, features], or [B, H / 2, W / 2, features]."""
        y = x if self.first else nn.relu(x)
        y = self.conv(self.features, (3, 3), name="conv1")(y)
        y = self.conv(self.features, (3, 3), name="conv2")(nn.relu(y))
        if not self.halved and x.shape[-1] == self.features:
            return x + y
        if self.halved:
            x, y = halve(x), halve(y)
        return y + self.conv(self.features, (1, 1), kernel_init=glorot, name="shortcut")(x)


class SelfAttention(nn.Module):
    """x + γ o(softmax(θ(x) φ(x)ᵀ) g(x)): Zhang et al. 2019, equations 1 to 4, of 1×1 convolutions without biases.

    θ and φ have C/8 channels and g C/2; as in the authors' code φ and g are max-pooled to half the sides. γ starts at
    0, so the block starts as the identity.
    """

    conv: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H, W, C]."""
        channels = x.shape[-1]
        narrow = max(channels // 8, 1)
        conv = partial(self.conv, kernel_size=(1, 1), use_bias=False, kernel_init=glorot)
        flat = lambda y: y.reshape(len(y), -1, y.shape[-1])
        theta = flat(conv(narrow, name="theta")(x))
        phi = flat(max_pool(conv(narrow, name="phi")(x)))
        g = flat(max_pool(conv(max(channels // 2, 1), name="g")(x)))
        weights = nn.softmax(exact(theta @ phi.swapaxes(1, 2))).astype(g.dtype)
        y = (weights @ g).reshape(*x.shape[:3], -1)
        gamma = self.param("gamma", nn.initializers.zeros, (), self.param_dtype)
        return x + gamma.astype(x.dtype) * conv(channels, name="out")(y)


class Generator(nn.Module):
    """Noise to an image in [-1, 1]."""

    shape: tuple[int, int, int] = (32, 32, 3)  # H, W, C of an image
    latent: int = 128
    width: int = 128
    blocks: int = 3  # each doubles the sides
    spectral: bool = False
    attention: tuple[int, ...] = ()  # heights of the maps that attend to themselves
    conditional: bool = False
    num_classes: int = 10  # read when conditional
    dtype: Any = None
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @property
    def conditions(self) -> tuple[str, ...]:
        return ("label",) if self.conditional else ()

    @nn.compact
    def __call__(self, z, train: bool, label=None):
        """z: [B, latent]; label: [B] int if conditional -> [B, *shape]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        layer = partial(spectral, train=train, param_dtype=self.param_dtype) if self.spectral else lambda layer: layer
        conv = layer(partial(nn.Conv, kernel_init=he, **types))
        batch = normalisation("batch", train, self.axis_name, **types)
        norm = partial(ClassNorm, batch, self.num_classes if self.conditional else 0, self.param_dtype)
        height, width, channels = self.shape
        if height % (1 << self.blocks) or width % (1 << self.blocks):
            raise ModelError(f"resnet_gan_generator: {self.blocks} doublings do not make images of {height}×{width}")
        _check_attention("resnet_gan_generator", self.attention, [height >> i for i in range(self.blocks)])

        start = (height >> self.blocks, width >> self.blocks, self.width)
        x = layer(partial(nn.Dense, kernel_init=glorot, **types))(start[0] * start[1] * start[2], name="input")(z)
        x = x.reshape(len(x), *start)
        for i in range(self.blocks):
            x = Up(self.width, conv, norm, name=f"block{i}")(x, label)
            if x.shape[1] in self.attention:
                x = SelfAttention(conv, self.param_dtype, name=f"attention{i}")(x)
        x = nn.relu(batch(name="norm")(x))
        return nn.tanh(exact(conv(channels, (3, 3), kernel_init=glorot, name="output")(x)))


class Discriminator(nn.Module):
    """An image to a score: a logit of "real", or the value of a critic, of each example alone."""

    width: int = 128
    blocks: int = 4
    halvings: int = 2  # by the first blocks
    spectral: bool = False
    pool: str = "mean"  # a name in POOLS
    attention: tuple[int, ...] = ()  # heights of the maps that attend to themselves
    conditional: bool = False
    num_classes: int = 10  # read when conditional
    headless: bool = False  # True: the maps are the answer
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @property
    def conditions(self) -> tuple[str, ...]:
        return ("label",) if self.conditional else ()

    @nn.compact
    def __call__(self, x, train: bool, label=None):
        """x: [B, H, W, C]; label: [B] int if conditional -> [B], or without a head {"stage1": map, ...}."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        layer = partial(spectral, train=train, param_dtype=self.param_dtype) if self.spectral else lambda layer: layer
        conv = layer(partial(nn.Conv, kernel_init=he, **types))
        pool = choose(POOLS, "pool", self.pool)
        if any(side % (1 << self.halvings) for side in x.shape[1:3]):
            sides = f"{x.shape[1]}×{x.shape[2]}"
            raise ModelError(f"resnet_gan_discriminator: images of {sides} cannot be halved {self.halvings} times")
        heights = [x.shape[1] >> min(i + 1, self.halvings) for i in range(self.blocks)]
        _check_attention("resnet_gan_discriminator", self.attention, heights)

        maps, attending = {}, set(self.attention)
        for i in range(self.blocks):
            x = Down(self.width, conv, i < self.halvings, i == 0, name=f"block{i}")(x)
            if x.shape[1] in attending:
                attending.remove(x.shape[1])  # the first map of this height
                x = SelfAttention(conv, self.param_dtype, name=f"attention{i}")(x)
            maps[f"stage{i + 1}"] = x
        if self.headless:
            return maps
        features = pool(exact(nn.relu(x)), (1, 2))
        score = layer(partial(nn.Dense, kernel_init=glorot, **types))(1, name="score")(features)[:, 0]
        if self.conditional:
            embed = partial(nn.Embed, embedding_init=glorot, **types)
            score += (layer(embed)(self.num_classes, self.width, name="projection")(label) * features).sum(1)
        return exact(score)


def _check_attention(network: str, attention: tuple[int, ...], heights: list[int]) -> None:
    """Raises ModelError for a height that no map has."""
    for height in attention:
        if height not in heights:
            found = ", ".join(str(x) for x in sorted(set(heights)))
            raise ModelError(f"{network}: attention={height}: the maps have the heights {found}")
