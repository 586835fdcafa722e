"""Triplets: mining by its definition, the global batch on any placement, and digits that find their like."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data import open_source
from models.classification.lenet import LeNet5
from models.metric.embedding import Embedding
from training.errors import TrainingError
from training.metrics.retrieval import retrieval
from training.step import init_state, make_train_step
from training.tasks.metric_learning import batch_hard, metric_learning, semi_hard, squared_distances

RANDOM = np.random.RandomState(0)
MARGIN = 0.3


class Linear(nn.Module):
    """Embeddings without a network to speak of."""

    @nn.compact
    def __call__(self, x, train):
        y = nn.Dense(4)(x.reshape(len(x), -1))
        return y / jnp.linalg.norm(y, axis=-1, keepdims=True)


def drawn(count, classes=3):
    """(distances, positive, negative, label) of a batch."""
    x = RANDOM.normal(size=(count, 4))
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    label = RANDOM.randint(0, classes, count)
    same = label[:, None] == label
    return np.square(x[:, None] - x).sum(-1), same & ~np.eye(count, dtype=bool), ~same, label


def batch(count=16):
    image = jnp.asarray(RANDOM.uniform(size=(count, 3, 3, 1)), jnp.float32)
    label = jnp.asarray(RANDOM.randint(-1, 3, count), jnp.int32)
    return {"image": image, "label": label, "id": jnp.arange(count, dtype=jnp.int32)}


def test_distances_are_squared():
    x, y = RANDOM.normal(size=(5, 3)), RANDOM.normal(size=(4, 3))
    np.testing.assert_allclose(squared_distances(x, y), np.square(x[:, None] - y).sum(-1), rtol=1e-5)


def test_semi_hard_triplets_follow_their_definition():
    d, positive, negative, label = drawn(24)
    values, counts = semi_hard(d, positive, negative, MARGIN)
    expected, found = np.zeros_like(d), np.zeros_like(positive)
    for a, p in zip(*np.nonzero(positive), strict=True):
        farther = [d[a, n] for n in range(24) if label[n] != label[a] and d[a, p] < d[a, n] < d[a, p] + MARGIN]
        if farther:
            found[a, p], expected[a, p] = True, d[a, p] - min(farther) + MARGIN
    np.testing.assert_array_equal(counts, found)
    np.testing.assert_allclose(values, expected, atol=1e-6)
    assert 20 < found.sum() < positive.sum()


def test_semi_hard_is_strict_on_both_sides():
    """One anchor and positive at distance 1; a negative at 1 is too near, one at 1.5 too far, one between is right."""
    for distance, right in ((1.0, False), (1.25, True), (1.5, False)):
        d = jnp.array([[0.0, 1.0, distance]])
        _, counts = semi_hard(d, jnp.array([[False, True, False]]), jnp.array([[False, False, True]]), 0.5)
        assert counts.sum() == right


def test_batch_hard_triplets_follow_their_definition():
    d, positive, negative, label = drawn(20)
    values, counts = batch_hard(d, positive, negative, MARGIN)
    expected = [
        max(0, d[a][positive[a]].max() - d[a][label != label[a]].min() + MARGIN) if positive[a].any() else 0
        for a in range(20)
    ]
    assert np.count_nonzero(expected) > 10
    np.testing.assert_allclose(values, expected, atol=1e-6)
    np.testing.assert_array_equal(counts, positive.any(1))


@pytest.mark.parametrize("mining", ["semi_hard", "batch_hard"])
def test_a_batch_without_triplets_costs_nothing(mining):
    task = metric_learning({"model": Linear()}, gather=lambda x: x, mining=mining)
    alike = {**batch(), "label": jnp.zeros(16, jnp.int32)}
    params, stats = task.init(jax.random.key(0), alike)

    def loss(params):
        value, weight, _ = task.loss("model", params, stats, alike, jax.random.key(0), {}, {"task": {"margin": MARGIN}})
        return value, weight

    (value, weight), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    assert value == 0 and weight == 0
    assert all(not x.any() for x in jax.tree.leaves(gradient))  # nor is anything NaN


@pytest.mark.parametrize("mining", ["semi_hard", "batch_hard"])
def test_the_global_batch_is_the_same_on_replicas(mining):
    """Loss, weight and gradient: on one device, and on eight that hold two examples each."""
    examples, hyper, key = batch(), {"task": {"margin": MARGIN}}, jax.random.key(0)
    alone = metric_learning({"model": Linear()}, gather=lambda x: x, mining=mining)
    params, stats = alone.init(key, examples)

    def both(task, params, batch):
        def loss(params):
            value, weight, _ = task.loss("model", params, stats, batch, key, {}, hyper)
            return value, weight

        return jax.value_and_grad(loss, has_aux=True)(params)

    gathering = partial(jax.lax.all_gather, axis_name="batch", tiled=True)
    spread = metric_learning({"model": Linear()}, gather=gathering, mining=mining)
    rows = jax.tree.map(lambda x: x.reshape(8, 2, *x.shape[1:]), examples)
    summed = lambda params, rows: jax.lax.psum(both(spread, params, rows), "batch")
    found = jax.tree.map(lambda x: x[0], jax.pmap(summed, axis_name="batch", in_axes=(None, 0))(params, rows))
    (value, weight), gradient = both(alone, params, examples)
    assert value > 0 and weight > 10
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, ((value, weight), gradient)
    )


def test_nearest_is_another_example_and_no_padding():
    task = metric_learning({"model": Linear()}, gather=lambda x: x)
    examples = batch(4) | {"mask": jnp.array([True, True, True, False])}
    params, stats = task.init(jax.random.key(0), examples)
    examples["image"] = examples["image"].at[3].set(examples["image"][0])
    outputs = task.predict(params, stats, examples, jax.random.key(0), {})
    for i, nearest in enumerate(outputs["nearest"][:3]):
        others = [k for k in range(3) if k != i]
        assert any(np.array_equal(nearest, examples["image"][k]) for k in others)


def test_digits_find_their_like():
    """Retrieval on the test digits after 100 batches of 10 classes × 6. Of the pixels, recall@1 is 0.969, mAP 0.67."""
    source, test = (open_source("digits", split) for split in ("train", "test"))
    prepared = lambda arrays: {**arrays, "image": jnp.asarray(arrays["image"], jnp.float32) / 255}
    examples = prepared(source.fetch(np.arange(len(source))))
    task = metric_learning({"model": Embedding(LeNet5(num_classes=0), dim=32)}, gather=lambda x: x)
    adam = {"model": lambda step, hyper: optax.with_extra_args_support(optax.adam(2e-3))}
    hyper = {"key": jax.random.key_data(jax.random.key(0)), "task": {"margin": 0.2}}
    hyper |= {section: {"model": {}} for section in ("optimizer", "schedule")}
    first = {**{k: x[:2] for k, x in examples.items()}, "id": jnp.arange(2)}
    state = init_state(task, adam, jax.random.key(0), first, hyper)
    step = jax.jit(make_train_step(task, adam, lambda batch, key: batch))
    labels, random = np.asarray(examples["label"]), np.random.RandomState(0)
    for _ in range(100):
        ids = np.concatenate([random.choice(np.flatnonzero(labels == c), 6, replace=False) for c in range(10)])
        state, report = step(state, examples, {"id": jnp.asarray(ids)}, {}, hyper)
    assert np.isfinite(report["loss"])
    held = prepared(test.fetch(np.arange(len(test)))) | {"id": jnp.arange(len(test))}
    outputs = jax.jit(task.predict)(state.params, state.stats, held, jax.random.key(0), {})
    found = retrieval(np.asarray(outputs["embedding"]), np.asarray(held["label"]), (1,))
    assert found["recall_at_1"] >= 0.972 and found["map"] >= 0.93


def test_bad_pages_are_one_clear_line():
    with pytest.raises(TrainingError, match="did you mean 'semi_hard'"):
        metric_learning({"model": Linear()}, gather=lambda x: x, mining="semihard")
