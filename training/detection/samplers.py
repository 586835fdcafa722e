"""Which of many anchors or proposals of one image count in its loss."""

import jax
import jax.numpy as jnp


def balanced(labels: jax.Array, key: jax.Array, count: int, fraction: float) -> tuple[jax.Array, jax.Array]:
    """Draws `count` rows, at most `fraction` of them positive; negative ones fill up. Ren et al. 2015, section 3.1.3.

    Args:
      labels: [A] int, positive > 0, negative 0, left out < 0.

    Returns: (which positive rows, which negative rows), [A] bool each. Fewer than `count` where there are not enough.
    """
    order = jax.random.uniform(key, labels.shape)
    positive = _first(labels > 0, order, int(count * fraction))
    return positive, _first(labels == 0, order, count - positive.sum())


def hard_negatives(losses: jax.Array, positive: jax.Array, ratio: float) -> jax.Array:
    """The rows with the largest losses among those that are not positive, `ratio` for each positive. [A] bool.

    Liu et al. 2016, section 2.2: losses [A], of the true class; positive [A] bool.
    """
    return _first(~positive, -losses, ratio * positive.sum())


def _first(eligible, order, count):
    """The `count` eligible rows that come first in ascending `order`; of equals the first."""
    ranks = jnp.argsort(jnp.argsort(jnp.where(eligible, order, jnp.inf), stable=True), stable=True)
    return eligible & (ranks < count)
