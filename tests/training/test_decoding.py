"""Decoding against exhaustive search over a small Markov chain whose state is cached in the carry."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training.decoding import beam, decode, greedy, sample
from training.errors import TrainingError

V, T, B, END = 4, 3, 2, 2
LOGITS = np.random.default_rng(0).normal(size=(B, V, V)) * 2  # of each example: row the token, column the next one
TWICE = np.random.default_rng(1).normal(size=(T, V))  # and what the number of tokens 3 seen so far adds
FIRST = jnp.array([1, 3])


def array(x):
    """In float64 under x64, in float32 otherwise."""
    return jnp.array(x, jnp.result_type(float))


def step(carry, token):
    """The carry: each example's own chain, how often it has seen token 3, and the position, which all share."""
    seen = carry["seen"] + (token == 3)
    logits = (
        carry["chain"][jnp.arange(len(token)), token]
        + jnp.array(TWICE, jnp.result_type(float))[jnp.minimum(seen, T - 1)]
    )
    return {"chain": carry["chain"], "seen": seen, "position": carry["position"] + 1}, logits + carry["position"]


def start():
    return {
        "chain": jnp.array(LOGITS, jnp.result_type(float)),
        "seen": jnp.zeros(B, jnp.int32),
        "position": jnp.zeros((), jnp.int32),
    }


def log_p(example, sequence):
    """log p of tokens after the first, up to `END`."""
    total, token, seen = 0.0, int(FIRST[example]), 0
    for following in sequence:
        seen += token == 3
        logits = LOGITS[example, token] + TWICE[min(seen, T - 1)]
        total += logits[following] - np.log(np.exp(logits).sum())
        token = following
        if token == END:
            break
    return total


def padded(sequence):
    ended = sequence.index(END) + 1 if END in sequence else T
    return (*sequence[:ended], *[0] * (T - ended))


def exhaustive(example):
    """{sequence: log p} of all sequences that end, or have T tokens."""
    return {padded(s): log_p(example, s) for s in itertools.product(range(V), repeat=T)}


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def test_a_beam_of_all_sequences_is_exhaustive_search(x64):
    tokens, score = jax.jit(lambda: beam(step, start(), FIRST, T, V**T, END))()
    for b in range(B):
        expected = exhaustive(b)
        found = {tuple(t): s for t, s in zip(tokens[b].tolist(), score[b].tolist(), strict=True) if np.isfinite(s)}
        assert found.keys() == expected.keys()
        np.testing.assert_allclose([found[s] for s in expected], list(expected.values()), atol=1e-12)
        np.testing.assert_allclose(score[b, : len(expected)], sorted(expected.values(), reverse=True), atol=1e-12)
    np.testing.assert_allclose(np.exp(score).sum(1), 1)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_narrow_beam_keeps_the_best_prefixes(x64, width):
    tokens, score = beam(step, start(), FIRST, T, width, END)
    for b in range(B):
        kept = {()}
        for _ in range(T):
            longer = {(*s, v) for s in kept if END not in s for v in range(V)}
            longer |= {(*s, 0) for s in kept if END in s}
            kept = set(sorted(longer, key=lambda s: log_p(b, s), reverse=True)[:width])
        assert set(map(tuple, tokens[b].tolist())) == kept
        np.testing.assert_allclose(score[b], sorted((log_p(b, s) for s in kept), reverse=True), atol=1e-12)


def test_greedy_is_a_beam_of_one_without_an_end(x64):
    tokens = decode(step, start(), FIRST, T, greedy)
    np.testing.assert_array_equal(tokens, beam(step, start(), FIRST, T, 1, end=-1)[0][:, 0])
    assert tokens.shape == (B, T) and tokens.dtype == jnp.int32


def test_samples_have_the_probabilities_of_the_chain():
    n = 20_000
    many = lambda x: jnp.repeat(x, n, axis=0) if x.ndim else x
    keys = jax.random.split(jax.random.key(0), B * n)
    draw = jax.jit(lambda pick: decode(step, jax.tree.map(many, start()), many(FIRST), 2, pick), static_argnums=0)
    pairs = np.asarray(draw(sample(keys))).reshape(B, n, 2)
    for b in range(B):
        counts = np.bincount(pairs[b] @ [V, 1], minlength=V * V) / n
        chain = np.empty((V, V))
        for first, second in itertools.product(range(V), repeat=2):
            ended = log_p(b, (first,))
            logits = LOGITS[b, first] + TWICE[min((int(FIRST[b]) == 3) + (first == 3), T - 1)]
            chain[first, second] = np.exp(ended + logits[second]) / np.exp(logits).sum()
        np.testing.assert_allclose(counts, chain.ravel(), atol=4 * 0.5 / n**0.5)
    few = np.asarray(draw(sample(keys, top_k=2))).reshape(B, n, 2)
    assert all(len(set(few[b, :, 0].tolist())) == 2 for b in range(B))
    cold = draw(sample(keys, temperature=1e-3))
    np.testing.assert_array_equal(cold[::n], decode(step, start(), FIRST, 2, greedy))


def test_a_sample_does_not_depend_on_the_others():
    keys = jax.random.split(jax.random.key(1), B)
    both = decode(step, start(), FIRST, T, sample(keys))
    second = jax.tree.map(lambda x: x[1:] if x.ndim else x, start())
    np.testing.assert_array_equal(both[1:], decode(step, second, FIRST[1:], T, sample(keys[1:])))


def test_one_compilation_whatever_the_length():
    """The step is traced no more for 40 tokens than for 3, and other inputs compile nothing."""
    traced = []

    def counted(carry, token):
        traced.append(token)
        return step(carry, token)

    counts = []
    for length in (3, 40):
        greedily = lambda first, n=length: decode(counted, start(), first, n, greedy)
        widely = lambda first, n=length: beam(counted, start(), first, n, 2)
        for run in (greedily, widely):
            traced.clear()
            compiled = jax.jit(run)
            compiled(FIRST)
            counts.append(len(traced))
            compiled(FIRST[::-1])
            assert compiled._cache_size() == 1 and counts[-1] == len(traced)
    assert max(counts) <= 2  # the body of the scan, and its shapes


def test_a_beam_without_width():
    with pytest.raises(TrainingError, match="a beam of width 0"):
        beam(step, start(), FIRST, T, 0)


@pytest.mark.parametrize("top_k", (0, 6))
def test_more_tokens_than_there_are_is_one_line(top_k):
    pick = sample(jax.random.split(jax.random.key(0), 2), top_k=top_k)
    with pytest.raises(TrainingError, match=f"top_k={top_k}: there are 5 tokens, so it is 1 to that many"):
        jax.jit(pick)(jnp.zeros((2, 5)), 0)


@pytest.mark.parametrize("temperature", (0, -1.0, float("nan"), np.float32(0), jnp.zeros(())))
def test_a_temperature_is_above_zero(temperature):
    with pytest.raises(TrainingError, match="is not above 0"):
        sample(jax.random.split(jax.random.key(0), 2), temperature)
