"""Muon: momentum whose matrices are made orthogonal. Jordan et al., "Muon", 2024; optax's implementation."""

import jax
import optax


def muon(
    learning_rate,
    beta: float = 0.95,
    nesterov: bool = True,
    ns_steps: int = 5,
    weight_decay: float = 0.0,
    weight_decay_mask=None,
    adam_ratio: float = 1.0,
    adam_b1: float = 0.9,
    adam_b2: float = 0.999,
):
    """Muon for kernels, Adam for all other parameters (biases, scales, embeddings, tokens); with `nesterov`, NAdam.

    A convolution kernel [h, w, I, O] is the matrix [h·w·I, O].

    Args:
      ns_steps: iterations of Newton and Schulz.
      weight_decay: decoupled, times the learning rate, of all parameters that `weight_decay_mask` does not leave out.
      adam_ratio: Adam's learning rate over Muon's.
    """
    directions = optax.contrib.muon(
        learning_rate,
        ns_steps=ns_steps,
        beta=beta,
        nesterov=nesterov,
        adam_learning_rate=adam_ratio * learning_rate,
        adam_b1=adam_b1,
        adam_b2=adam_b2,
        muon_weight_dimension_numbers=_matrices,
    )
    # optax's own decay would hand the mask to the part of the parameters that Muon moves.
    return optax.chain(directions, optax.add_decayed_weights(-learning_rate * weight_decay, weight_decay_mask))


def _matrices(params):
    """How each kernel is a matrix; None for other parameters."""

    def of(path, leaf):
        if leaf.ndim < 2 or jax.tree_util.keystr(path[-1:], simple=True) != "kernel":
            return None
        return optax.contrib.MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1)

    return jax.tree_util.tree_map_with_path(of, params)
