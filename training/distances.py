"""Euclidean distances of the pixels of a mask, exact, on the device: one axis after the other.

The squared distance to a region is min over columns x' of (x − x')² + min over the region's rows y' in x' of (y − y')²
(Felzenszwalb & Huttenlocher 2012, section 3, by comparing all pairs of an axis).
"""

import jax
import jax.numpy as jnp


def squared_distance(region: jax.Array) -> jax.Array:
    """region: [H, W] bool -> [H, W] float32: squared distances, in pixels, to its nearest pixel; inf without one."""
    rows, columns = (jnp.arange(n, dtype=jnp.float32) for n in region.shape)
    apart = lambda at: (at[:, None] - at[None]) ** 2
    along = jnp.where(region[None], apart(rows)[:, :, None], jnp.inf).min(1)  # [y, y', x] -> [y, x]
    return (along[:, None] + apart(columns)[None]).min(2)  # [y, x, x']


def signed_distance(region: jax.Array) -> jax.Array:
    """region: [H, W] bool -> [H, W] float32: outside, the distance to the region; inside, 1 − that to its outside.

    As in the code of Kervadec et al. 2019. 0 where the region is empty or all of the image.
    """
    outside = jnp.sqrt(squared_distance(region))
    inside = 1 - jnp.sqrt(squared_distance(~region))
    return jnp.where(region.any() & ~region.all(), jnp.where(region, inside, outside), 0)
