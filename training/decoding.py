"""Sequences from a network that gives the next token: greedy, sampled, or by beam search.

Each is one scan with static shapes, so it compiles once; the cached state of the network is in the carry. Call them
inside jit.

A `step` is (carry, token [B] int32) -> (carry, logits [B, V]): the logits of the token after `token`. Every leaf of the
carry has the example as its leading axis, [B, ...], or is a scalar that all examples share (a position).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from training.errors import TrainingError

Step = Callable[[Any, jax.Array], tuple[Any, jax.Array]]
Pick = Callable[[jax.Array, jax.Array], jax.Array]  # (logits [B, V], position []) -> tokens [B]


def greedy(logits: jax.Array, position: jax.Array) -> jax.Array:
    """Picks the most probable token; of equal ones the first."""
    return logits.argmax(-1).astype(jnp.int32)


def sample(keys: jax.Array, temperature: float | jax.Array = 1.0, top_k: int | None = None) -> Pick:
    """Picks a token by its probability under logits / temperature.

    Args:
      keys: [B], one for each example, so that its sequence does not depend on the others.
      temperature: above 0; may be traced.
      top_k: only the k most probable tokens are picked; None: all.

    Raises:
      TrainingError: `temperature` is a number that is not above 0; while tracing, `top_k` is not in 1 … V.
    """
    if not isinstance(temperature, jax.core.Tracer) and not temperature > 0:
        raise TrainingError(f"temperature={temperature} is not above 0: greedy decoding picks the most probable token")

    def pick(logits, position):
        if top_k is not None:
            if not 1 <= top_k <= logits.shape[-1]:
                raise TrainingError(f"top_k={top_k}: there are {logits.shape[-1]} tokens, so it is 1 to that many")
            least = jax.lax.top_k(logits, top_k)[0][:, -1:]
            logits = jnp.where(logits < least, -jnp.inf, logits)
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, position)
        return jax.vmap(jax.random.categorical)(own, logits / temperature).astype(jnp.int32)

    return pick


def decode(step: Step, carry: Any, first: jax.Array, length: int, pick: Pick) -> jax.Array:
    """Tokens [B, length] int32 after the tokens `first` [B], each picked from the logits given those before.

    It goes on after an <end>: whoever reads the words stops there.
    """

    def body(state, position):
        carry, token = state
        carry, logits = step(carry, token)
        token = pick(logits, position)
        return (carry, token), token

    _, tokens = jax.lax.scan(body, (carry, first.astype(jnp.int32)), jnp.arange(length))
    return tokens.T


def beam(
    step: Step, carry: Any, first: jax.Array, length: int, width: int, end: int = 2
) -> tuple[jax.Array, jax.Array]:
    """Beam search: the `width` most probable sequences found after the tokens `first` [B].

    A sequence ends with `end` or after `length` tokens. Probabilities are not normalised by length.

    Returns:
      (tokens [B, width, length] int32, 0 after `end`; log p [B, width]), the most probable first. Where there are fewer
      than `width` sequences, log p of the rest is −∞.

    Raises:
      TrainingError: `width` is less than 1.
    """
    if width < 1:
        raise TrainingError(f"a beam of width {width}: it is at least 1")
    batch = len(first)
    flat = lambda x: x.reshape(batch * width, *x.shape[2:])

    def chosen(tree, parents):
        """Rows [B · width, ...] of the sequences that are continued; `parents` [B, width]."""
        rows = (jnp.arange(batch)[:, None] * width + parents).ravel()
        return jax.tree.map(lambda x: x[rows] if x.ndim else x, tree)

    def body(state, position):
        carry, tokens, last, score, done = state
        carry, logits = step(carry, flat(last))
        log_p = jax.nn.log_softmax(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)))
        log_p = log_p.reshape(batch, width, -1)
        # A sequence that has ended goes on with padding, at no cost.
        padding = jnp.where(jnp.arange(log_p.shape[-1]) == 0, 0.0, -jnp.inf)
        log_p = jnp.where(done[..., None], padding, log_p)
        candidates = (score[..., None] + log_p).reshape(batch, -1)
        score, places = jax.lax.top_k(candidates, width)
        parents, last = jnp.divmod(places, log_p.shape[-1])
        last = last.astype(jnp.int32)
        carry, done, tokens = chosen((carry, flat(done), flat(tokens)), parents)
        done = done.reshape(batch, width) | (last == end)
        tokens = tokens.reshape(batch, width, length).at[..., position].set(last)
        return (carry, tokens, last, score, done), None

    carry = jax.tree.map(lambda x: jnp.repeat(x, width, axis=0) if jnp.ndim(x) else x, carry)
    _, logits = jax.eval_shape(step, carry, jnp.zeros(batch * width, jnp.int32))
    # All sequences are equal at first: only one of them counts.
    score = jnp.where(jnp.arange(width) == 0, 0.0, -jnp.inf).astype(jnp.promote_types(logits.dtype, jnp.float32))
    state = (
        carry,
        jnp.zeros((batch, width, length), jnp.int32),
        jnp.broadcast_to(first[:, None], (batch, width)).astype(jnp.int32),
        jnp.broadcast_to(score, (batch, width)),
        jnp.zeros((batch, width), bool),
    )
    (_, tokens, _, score, _), _ = jax.lax.scan(body, state, jnp.arange(length))
    return tokens, score
