"""Gated PixelCNN: a stack for the rows above and one for the row itself, with gates (Van den Oord et al. 2016).

Van den Oord et al., "Conditional Image Generation with PixelCNN Decoders", NeurIPS 2016, section 2 and figure 2. It has
no blind spot.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from models.layers.causal_conv import CausalConv, Place, may_read, of_channel, owners, place_of
from models.layers.precision import exact


def gate(x):
    """tanh(a) · σ(b) of x [..., 2p] = [a, b] -> [..., p]. Equation 2."""
    a, b = jnp.split(x, 2, axis=-1)
    return nn.tanh(a) * nn.sigmoid(b)


class VerticalStack(nn.Module):
    """Features of each pixel from the rows above it, layer by layer: n×n convolutions without the rows below."""

    width: int
    depth: int
    first: int
    kernel: int
    dtype: Any
    param_dtype: Any

    @nn.compact
    def __call__(self, x, label, place: Place | None = None):
        """x: [B, H, W, C], moved down by one row; label: [B, K] or None -> depth maps [B, H, W, 2·width].

        With a place, which is a row, x [B, 1, W, C] and the maps are there.
        """
        types, maps = dict(dtype=self.dtype, param_dtype=self.param_dtype), []
        for i in range(self.depth):
            # A first kernel of n×n has n // 2 rows above the pixel.
            size = (self.first // 2, self.first) if i == 0 else (self.kernel // 2 + 1, self.kernel)
            y = CausalConv(2 * self.width, size, around=True, name=f"conv{i}", **types)(x, place)
            maps.append(y)
            if label is not None:
                y = y + nn.Dense(2 * self.width, use_bias=False, name=f"label{i}", **types)(label)[:, None, None]
            x = gate(y)
        return tuple(maps)


class GatedPixelCNN(nn.Module):
    """`depth` layers of figure 2, the first without a residual connection, then two layers of 1×1."""

    width: int = 128  # p
    depth: int = 15
    first: int = 7  # side of the first kernel
    kernel: int = 3
    hidden: int = 1024  # of the layers before the output
    outputs: int = 256  # logits of each value: 1 for two values, otherwise one for each of them
    embedding: int = 0  # width of a learnt vector for each value, as for codes, which have no order; 0: the values
    conditional: bool = False
    num_classes: int = 10  # read when conditional
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @property
    def conditions(self) -> tuple[str, ...]:
        return ("label",) if self.conditional else ()

    def setup(self):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        if self.embedding:
            self.embed = nn.Embed(self.outputs, self.embedding, **types)
        self.vertical = VerticalStack(self.width, self.depth, self.first, self.kernel, **types)

    def __call__(self, x, train: bool, label=None):
        """x: [B, H, W, C] in [0, 1]; label: [B] int if conditional, −1: none -> [B, H, W, C·outputs]."""
        values, label = self._values(x), self._label(label)
        above = jnp.pad(values, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]
        return self._answer(values, self.vertical(above, label), label, x.shape[-1])

    def step(self, x, position, label=None):
        """x: [B, H, W, C], right before `position` [] int32; label: [B] -> [B, outputs] of that value.

        The vertical stack is computed for a whole row, at its first value.
        """
        place, channel = place_of(x, position)
        label = self._label(label)
        row = Place(place.row, None, *place[2:])
        before = jax.lax.dynamic_slice_in_dim(x, jnp.maximum(place.row - 1, 0), 1, axis=1)
        before = jnp.where(place.row > 0, self._values(before), 0)
        at_start = (place.column == 0) & (channel == 0)
        if self.is_initializing():
            maps = self.vertical(before, label, row)
            self.put_variable("cache", "rows", maps)
        else:
            kept = self.get_variable("cache", "rows")
            fill = lambda module, kept: module.vertical(before, label, row)
            maps = nn.cond(at_start, fill, lambda module, kept: kept, self, kept)
            self.put_variable("cache", "rows", maps)
        here = tuple(jax.lax.dynamic_slice_in_dim(y, place.column, 1, axis=2) for y in maps)
        return of_channel(self._answer(self._values(x), here, label, x.shape[-1], place), channel, x.shape[-1])

    def _values(self, x):
        """What the first layers read, [B, H, W, C or C·embedding]."""
        if not self.embedding:
            return (2 * x - 1).astype(jnp.result_type(self.dtype or x.dtype))
        indices = jnp.round(x * (self.outputs - 1)).astype(jnp.int32)
        return self.embed(indices).reshape(*x.shape[:3], -1)

    def _label(self, label):
        """One-hot, [B, K]; zeros for −1."""
        return (
            jax.nn.one_hot(label, self.num_classes, dtype=self.dtype or self.param_dtype) if self.conditional else None
        )

    @nn.compact
    def _answer(self, x, maps, label, channels: int, place: Place | None = None):
        """The horizontal stack over x, to which `maps` are added, and the output [B, H, W, C·outputs]."""
        types, own = dict(dtype=self.dtype, param_dtype=self.param_dtype), partial(owners, channels=channels)
        halves = np.tile(own(self.width), 2)  # the half for tanh, then its gates

        def pointwise(x, features, name):
            mask = may_read(own(x.shape[-1]), own(features), True)[None, None]
            return nn.Conv(features, (1, 1), mask=mask, name=name, **types)(x)

        for i, above in enumerate(maps):
            side, mask = (self.kernel, self.first)[i == 0] // 2 + 1, may_read(own(x.shape[-1]), halves, i > 0)
            y = CausalConv(2 * self.width, (1, side), keep=i > 0, mask=mask, name=f"conv{i}", **types)(x, place)
            y = y + nn.Conv(2 * self.width, (1, 1), name=f"from_above{i}", **types)(above)
            if label is not None:
                y = y + nn.Dense(2 * self.width, use_bias=False, name=f"label{i}", **types)(label)[:, None, None]
            y = pointwise(gate(y), self.width, f"out{i}")
            x = x + y if i else y
        for i in range(2):
            x = pointwise(nn.relu(x), self.hidden, f"hidden{i}")
        return exact(pointwise(nn.relu(x), channels * self.outputs, "head"))
