"""Dropout whose rate may be a traced number, so that a sweep over rates is one compiled program."""

import contextlib
import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp


class Dropout(nn.Module):
    """Zero each unit with probability `rate` and scale the others by 1 / (1 - rate). Srivastava et al. 2014.

    Draws from the rng stream "dropout" in training only, and not at all when the rate is the Python number 0.
    (`nn.Dropout` branches on its rate, which a tracer refuses.)
    """

    rate: float | jax.Array
    shared: tuple[int, ...] = ()  # axes with one draw for all; all but the first: stochastic depth

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


@contextlib.contextmanager
def dropout_rates(networks: Mapping[str, nn.Module], rates: Mapping[str, Mapping[str, jax.Array]]):
    """While it lasts, the networks that are applied have these rates, key -> {field: rate}, in place of their own."""

    def call(function, args, kwargs, context):
        module = context.module
        if module.scope is not None and module.path == ():  # without a scope it is asked, and not applied
            for key, given in rates.items():
                if _alike(module, networks[key], given):
                    for field, rate in given.items():
                        # A bound module is this call's own copy, but frozen.
                        object.__setattr__(module, field, rate)
        return function(*args, **kwargs)

    with nn.intercept_methods(call):
        yield


def _alike(module, other, but):
    fields = [field.name for field in dataclasses.fields(other) if field.name not in {"parent", "name", *but}]
    return type(module) is type(other) and all(getattr(module, f) == getattr(other, f) for f in fields)
