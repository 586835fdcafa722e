"""VQ-VAE: an autoencoder whose codes are numbers of vectors in a book (Van den Oord et al. 2017).

Van den Oord, Vinyals & Kavukcuoglu, "Neural Discrete Representation Learning", NeurIPS 2017, with the layers of the
authors' example for CIFAR-10 (Sonnet). With `levels` the numbers are rounded in place of a book, FSQ: Mentzer et al.,
"Finite Scalar Quantization: VQ-VAE Made Simple", ICLR 2024. The losses and the book's updates are in
training/tasks/vq.py.
"""

import math
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from models.errors import ModelError
from models.layers.conv import ConvTranspose
from models.layers.precision import exact


def straight_through(z, quantised):
    """`quantised` with the gradient of the identity by z. Section 3.2."""
    return z + jax.lax.stop_gradient(quantised - z)


def nearest(z, book):
    """z: [..., D], book: [K, D] -> the number of the nearest vector, [...] int32; the first of equally near ones."""
    products = jnp.einsum("...d,kd->...k", z, book, precision="highest")
    return jnp.argmin(jnp.square(book).sum(-1) - 2 * products, axis=-1).astype(jnp.int32)


def bounded(z, levels):
    """z: [..., D] -> numbers that round to one of levels[i] integers around 0. Mentzer et al., section 3.1 and A.1."""
    levels = jnp.asarray(levels, z.dtype)
    half, offset = (levels - 1) * (1 - 1e-3) / 2, jnp.where(levels % 2 == 0, 0.5, 0.0)
    return jnp.tanh(z + jnp.tan(offset / half)) * half - offset


class Residual(nn.Module):
    """`depth` times x + conv 1×1 (relu(conv 3×3 (relu(x)))), then a ReLU."""

    depth: int
    inner: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, D] -> [B, H, W, D]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        for i in range(self.depth):
            y = nn.Conv(self.inner, (3, 3), name=f"block{i}_conv3", **types)(nn.relu(x))
            x = x + nn.Conv(x.shape[-1], (1, 1), name=f"block{i}_conv1", **types)(nn.relu(y))
        return nn.relu(x)


class Encoder(nn.Module):
    """Halves the image twice, then a map of `features`."""

    width: int
    depth: int
    inner: int
    features: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, H, W, C] -> [B, H/4, W/4, features]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = nn.relu(nn.Conv(self.width // 2, (4, 4), 2, name="down0", **types)(x))
        x = nn.relu(nn.Conv(self.width, (4, 4), 2, name="down1", **types)(x))
        x = nn.Conv(self.width, (3, 3), name="conv", **types)(x)
        x = Residual(self.depth, self.inner, name="residual", **types)(x)
        return nn.Conv(self.features, (1, 1), name="out", **types)(x)


class Decoder(nn.Module):
    """The encoder's mirror image."""

    width: int
    depth: int
    inner: int
    channels: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x):
        """x: [B, h, w, D] -> [B, 4h, 4w, channels]."""
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = nn.Conv(self.width, (3, 3), name="conv", **types)(x)
        x = Residual(self.depth, self.inner, name="residual", **types)(x)
        x = nn.relu(ConvTranspose(self.width // 2, (4, 4), (2, 2), name="up0", **types)(x))
        return ConvTranspose(self.channels, (4, 4), (2, 2), name="up1", **types)(x)


class VQVAE(nn.Module):
    """A `models.interfaces.Quantiser`. The book is in the collection "buffers", with the sums it is computed from."""

    conditions: ClassVar[tuple[str, ...]] = ()

    shape: tuple[int, int, int] = (32, 32, 3)  # H, W, C of an image; the sides are multiples of 4
    width: int = 128
    depth: int = 2  # residual blocks of the encoder, and of the decoder
    inner: int = 32  # channels inside of a block
    dim: int = 64  # D, of the book's vectors
    entries: int = 512  # K
    levels: tuple[int, ...] = ()  # of FSQ, such as (8, 8, 8): there is no book, and D is their number
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @property
    def codes(self) -> int:
        """How many codes there are."""
        return math.prod(self.levels) if self.levels else self.entries

    def setup(self):
        height, width, channels = self.shape
        if height % 4 or width % 4:
            raise ModelError(f"{height}×{width} cannot be halved twice")
        if min(self.levels, default=2) < 2:
            raise ModelError(f"levels={self.levels}: each is at least 2")
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        self.encoder = Encoder(self.width, self.depth, self.inner, len(self.levels) or self.dim, **types)
        self.decoder = Decoder(self.width, self.depth, self.inner, channels, **types)
        if not self.levels:
            kept = partial(self.variable, "buffers")
            self.book = kept("book", self._first_book)
            # Exponential averages: how often each vector was used, and the sum of the z that it was used for.
            self.uses = kept("uses", jnp.ones, self.entries, self._exact)
            self.sums = kept("sums", lambda: self.book.value)

    def encode(self, x):
        """x: [B, H, W, C] -> codes [B, H/4, W/4] int32."""
        return self.quantise(self.features(x))[0]

    def decode(self, codes):
        """codes: [B, h, w] int -> images [B, 4h, 4w, C]."""
        return exact(self.decoder(self.vectors(codes)))

    def __call__(self, x, train: bool):
        """x: [B, H, W, C] -> what the codes of x decode to."""
        return self.reconstruct(x)[0]

    def reconstruct(self, x):
        """x: [B, H, W, C] -> (images, z [B, h, w, D], codes [B, h, w]); gradients pass straight to the encoder."""
        z = self.features(x)
        codes, vectors = self.quantise(z)
        return exact(self.decoder(straight_through(z, vectors))), z, codes

    def features(self, x):
        """x: [B, H, W, C] -> z [B, h, w, D], before they are quantised; of FSQ, each about an integer."""
        z = exact(self.encoder(x))
        return bounded(z, self.levels) / self._halves if self.levels else z

    def quantise(self, z):
        """z: [B, h, w, D] -> (codes [B, h, w] int32, their vectors [B, h, w, D])."""
        if not self.levels:
            codes = nearest(z, self.book.value)
            return codes, jnp.take(self.book.value, codes, axis=0)
        integers = jnp.round(z * self._halves)
        digits = integers.astype(jnp.int32) + self._halves
        return (digits * self._bases).sum(-1), integers / self._halves

    def vectors(self, codes):
        """codes: [...] int -> [..., D]."""
        if not self.levels:
            return jnp.take(self.book.value, codes, axis=0)
        digits = codes[..., None] // self._bases % np.array(self.levels)
        return (digits - self._halves) / self._halves.astype(self._exact)

    @property
    def _exact(self):
        return jnp.promote_types(self.param_dtype, jnp.float32)

    @property
    def _halves(self):
        """FSQ's integers go from −halves on."""
        return np.array(self.levels) // 2

    @property
    def _bases(self):
        """What a step in each dimension adds to the code."""
        return np.cumprod([1, *self.levels[:-1]])

    def _first_book(self):
        """Vectors [K, D], as large as Sonnet's: uniform with variance 1 / D."""
        bound = math.sqrt(3 / self.dim)
        return jax.random.uniform(self.make_rng("params"), (self.entries, self.dim), self._exact, -bound, bound)
