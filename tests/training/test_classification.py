import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.metrics

from training.evaluate import readings
from training.metrics.readings import Reading
from training.tasks.classification import classification

B, K = 6, 7


class Net(nn.Module):
    num_classes: int = K
    rate: float = 0.0

    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train)(x.reshape(x.shape[0], -1))
        return nn.Dense(self.num_classes)(nn.Dropout(self.rate, deterministic=not train)(x))


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return {
        "image": jnp.asarray(rng.normal(size=(B, 3, 3, 1)), jnp.float32),
        "label": jnp.asarray(rng.integers(0, K, B), jnp.int32),
        "id": jnp.arange(B, dtype=jnp.int32),
    }


def run(batch, task=None, hyper=None, key=0):
    task = task or classification({"model": Net()})
    params, stats = task.init(jax.random.key(0), batch)
    value, weight, (new, sums) = jax.jit(
        lambda: task.loss(
            "model",
            params,
            stats,
            batch,
            jax.random.key(key),
            {},
            hyper or {"task": {"label_smoothing": jnp.float32(0)}},
        )
    )()
    return value, weight, new, sums, stats


def train_logits(batch):
    task = classification({"model": Net()})
    params, stats = task.init(jax.random.key(0), batch)
    variables = {"params": params["model"], **stats["model"]}
    return Net().apply(variables, batch["image"], train=True, mutable=["batch_stats"])[0]


def cross_entropy(logits, label):
    return optax.softmax_cross_entropy_with_integer_labels(logits, label)


def test_loss_is_a_sum_and_its_weight(batch):
    value, weight, new, sums, stats = run(batch)
    logits = train_logits(batch)
    np.testing.assert_allclose(value, cross_entropy(logits, batch["label"]).sum(), rtol=1e-5)
    assert weight == B
    assert sums["accuracy"] == (logits.argmax(-1) == batch["label"]).sum()
    assert jax.tree.structure(new) == jax.tree.structure(stats)
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), new, stats)
    assert all(jax.tree.leaves(moved))


def test_unlabelled_examples_weigh_nothing(batch):
    value, weight, _, sums, _ = run({**batch, "label": batch["label"].at[2].set(-1)})
    keep = np.arange(B) != 2
    logits = train_logits(batch)
    np.testing.assert_allclose(value, cross_entropy(logits, batch["label"])[keep].sum(), rtol=1e-5)
    assert weight == B - 1
    assert sums["accuracy"] == (logits.argmax(-1) == batch["label"])[keep].sum()


def test_smoothing_comes_from_hyper(batch):
    logits, smoothed = train_logits(batch), 0.8 * jax.nn.one_hot(batch["label"], K) + 0.2 / K
    expected = optax.softmax_cross_entropy(logits, smoothed).sum()
    number = run(batch, hyper={"task": {"label_smoothing": jnp.float32(0.2)}})[0]
    np.testing.assert_allclose(number, expected, rtol=1e-5)


def test_blended_examples(batch):
    mix, other = jnp.linspace(0, 1, B), batch["label"][::-1]
    value, weight, _, sums, _ = run({**batch, "mix": mix, "label_mix": other})
    logits = train_logits(batch)
    target = mix[:, None] * jax.nn.one_hot(batch["label"], K) + (1 - mix)[:, None] * jax.nn.one_hot(other, K)
    np.testing.assert_allclose(value, optax.softmax_cross_entropy(logits, target).sum(), rtol=1e-5)
    assert weight == B
    np.testing.assert_allclose(sums["accuracy"], target[jnp.arange(B), logits.argmax(-1)].sum(), rtol=1e-5)
    assert run({**batch, "mix": mix, "label_mix": other.at[0].set(-1)})[1] == B - 1


def test_dropout_follows_the_key(batch):
    task = classification({"model": Net(rate=0.5)})
    same, again, different = (run(batch, task, key=k)[0] for k in (0, 0, 1))
    assert same == again != different


def test_predictions_and_metrics(batch):
    task = classification({"model": Net()})
    params, stats = task.init(jax.random.key(0), batch)
    outputs = task.predict(params, stats, batch, None, {})
    p = jax.nn.softmax(outputs["logits"])
    np.testing.assert_allclose(outputs["probability"], p.max(-1), rtol=1e-6)
    record = {}
    for metric in task.metrics.values():
        record |= metric.compute(jax.device_get(metric.update(outputs, batch)))
    assert readings(task)[task.best] == Reading("max", "%")
    assert set(record) == {"accuracy", "error", "top5", "cross_entropy", "confusion", "per_class_accuracy"}
    p = np.asarray(p, np.float64)
    p /= p.sum(1, keepdims=True)
    expected = sklearn.metrics.log_loss(batch["label"], p, labels=range(K))
    np.testing.assert_allclose(record["cross_entropy"], expected, rtol=1e-5)
    assert record["accuracy"] == sklearn.metrics.accuracy_score(batch["label"], outputs["prediction"])


def test_top_k_only_where_there_are_more_classes():
    assert "top5" not in classification({"model": Net(num_classes=5)}).metrics
    assert "top2" in classification({"model": Net(num_classes=5)}, top_k=2).metrics


def test_a_network_without_statistics_has_none(batch):
    class Plain(nn.Module):
        num_classes: int = K

        @nn.compact
        def __call__(self, x, train):
            return nn.Dense(self.num_classes)(x.reshape(x.shape[0], -1))

    _, _, new, _, stats = run(batch, classification({"model": Plain()}))
    assert new == stats == {"model": {}}


class Deep(Net):
    auxiliary: float = 0.3

    @nn.compact
    def __call__(self, x, train):
        logits = super().__call__(x, train)
        side = nn.Dense(self.num_classes, name="side")(x.reshape(x.shape[0], -1))
        return (logits, side) if train and self.auxiliary else logits


def test_auxiliary_classifiers_add_their_weighted_loss_in_training_only(batch):
    task = classification({"model": Deep()})
    value, *_ = run(batch, task)
    params, stats = task.init(jax.random.key(0), batch)
    variables = {"params": params["model"], **stats["model"]}
    (logits, side), _ = Deep().apply(variables, batch["image"], train=True, mutable=["batch_stats"])
    losses = [optax.softmax_cross_entropy_with_integer_labels(x, batch["label"]).sum() for x in (logits, side)]
    np.testing.assert_allclose(value, losses[0] + 0.3 * losses[1], rtol=1e-5)
    outputs = task.predict(params, stats, batch, jax.random.key(0), {})
    assert outputs["logits"].shape == (B, K)
    without, *_ = run(batch, classification({"model": Deep(auxiliary=0.0)}))
    np.testing.assert_allclose(without, losses[0], rtol=1e-5)
