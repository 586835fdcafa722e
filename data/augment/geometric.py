"""Augmentations that move pixels: image and masks together."""

import jax
import jax.numpy as jnp

from data.augment.lift import check_range, over_fields
from data.errors import DataError


def pad_crop(pad: int, mode: str = "constant"):
    """Pad every side by `pad` pixels and crop back to the size at a random place (He et al. 2016, section 4.2).

    `mode` fills the padding: "constant" (black; the ignored label in masks), "reflect" or "edge".
    """
    check_range("pad", pad, 0)
    if mode not in ("constant", "reflect", "edge"):
        raise DataError(f"pad_crop pads with constant, reflect or edge, not {mode!r}")

    def move(field, key, linear, fill):
        widths = [(pad, pad), (pad, pad)] + [(0, 0)] * (field.ndim - 2)
        padded = jnp.pad(field, widths, mode, **(dict(constant_values=fill) if mode == "constant" else {}))
        corner = jax.random.randint(key, (2,), 0, 2 * pad + 1)
        return jax.lax.dynamic_slice(padded, (*corner, *[0] * (field.ndim - 2)), field.shape)

    return over_fields(move)


def flip(probability: float = 0.5):
    """Mirror left and right with `probability`."""
    check_range("probability", probability, 0, 1)

    def move(field, key, linear, fill):
        return jnp.where(jax.random.bernoulli(key, probability), field[:, ::-1], field)

    return over_fields(move)
