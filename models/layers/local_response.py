"""Local response normalisation across channels. Krizhevsky, Sutskever, Hinton, NIPS 2012, section 3.3."""

import jax
import jax.numpy as jnp

from models.layers.precision import exact


def local_response(x, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75):
    """x / (k + alpha · Σ x²)^beta, where the sum goes over the `size` channels around each: [..., C] -> [..., C].

    The paper does not divide alpha by `size`; Caffe and torch do, so their alpha is `size` times ours.
    """
    low = size // 2
    window = (1,) * (x.ndim - 1) + (size,)
    padding = ((0, 0),) * (x.ndim - 1) + ((low, size - 1 - low),)
    squares = jnp.square(exact(x))
    total = jax.lax.reduce_window(squares, 0.0, jax.lax.add, window, (1,) * x.ndim, padding)
    return (exact(x) * (k + alpha * total) ** -beta).astype(x.dtype)
