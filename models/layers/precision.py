"""Promote to at least float32."""

import jax
import jax.numpy as jnp


def exact(x: jax.Array) -> jax.Array:
    """x [...] in float32 at least, and float64 as it is.

    For what statistics, softmax and losses are computed from: they add up many small terms, which the 8 significant
    bits of bfloat16 would lose, and take exponentials and logarithms, which float16 has not the range for.
    """
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
