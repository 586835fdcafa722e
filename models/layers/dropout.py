"""Dropout with a rate that may be a traced number, so that a sweep over rates is one compiled program."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class Dropout(nn.Module):
    """Zero each unit with probability `rate` and scale the others by 1 / (1 - rate). Srivastava et al. 2014.

    It draws from the rng stream "dropout", in training only. A rate that is the Python number 0 means that the layer
    is absent: nothing is drawn and no rng is needed. (`nn.Dropout` branches on its rate, which fails for a tracer.)
    """

    rate: float | jax.Array
    shared: tuple[int, ...] = ()  # axes along which one draw is used; all but the first: stochastic depth

    @nn.compact
    def __call__(self, x, train: bool):
        """x: any shape -> the same shape."""
        if not train or (isinstance(self.rate, int | float) and self.rate == 0):
            return x
        draws = [1 if axis in self.shared else size for axis, size in enumerate(x.shape)]
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1.0 - self.rate, draws)
        # rate = 1 keeps nothing, and must not divide by zero on the way to its zeros.
        scale = jnp.where(self.rate < 1.0, 1.0 - self.rate, 1.0)
        return jnp.where(kept, x / scale.astype(x.dtype), jnp.zeros_like(x))
