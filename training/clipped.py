"""RMSProp for the critic of a WGAN: its parameters stay in a box (Arjovsky et al. 2017, algorithm 1)."""

import jax
import jax.numpy as jnp
import optax


def clipped_rmsprop(learning_rate, decay: float = 0.99, eps: float = 1e-8, bound: float = 0.01):
    """RMSProp, after which every parameter is clipped to [-bound, bound]. `decay` and `eps` are those of torch.

    Frozen parameters are not clipped.
    """
    return optax.chain(optax.rmsprop(learning_rate, decay, eps, eps_in_sqrt=False), clip_parameters(bound))


def clip_parameters(bound) -> optax.GradientTransformation:
    """Updates after which the parameters are in [-bound, bound]; `update` needs `params`."""

    def update(updates, state, params):
        clipped = lambda change, x: jnp.clip(x + change, -bound, bound) - x
        return jax.tree.map(clipped, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
