import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from training import metrics
from training.errors import TrainingError
from training.metrics import classification, segmentation
from training.metrics.readings import Reading

RNG = np.random.default_rng(0)
N, K = 50, 7
LOGITS = RNG.normal(size=(N, K)).astype(np.float32)
LABELS = RNG.integers(0, K - 1, N).astype(np.int32)  # the last class never occurs
LABELS[[3, 20]] = -1
LOGITS[:, :-1] += 1.5 * np.eye(K)[LABELS][:, :-1]


def outputs(logits):
    values = -np.log(np.exp(logits).sum(1))
    return {"logits": jnp.asarray(logits), "prediction": jnp.asarray(logits.argmax(1)), "loss": jnp.asarray(values)}


def evaluate(metric, sizes=(N,), pad_to=None):
    """The metric over batches of the given sizes, each padded with nonsense that the mask marks."""
    total, start = None, 0
    for size in sizes:
        rows = slice(start, start + size)
        pad = (pad_to or size) - size
        logits = np.concatenate([LOGITS[rows], np.full((pad, K), np.nan, np.float32)])
        labels = np.concatenate([LABELS[rows], np.zeros(pad, np.int32)])
        batch = {"label": jnp.asarray(labels)}
        if pad_to:
            batch["mask"] = jnp.arange(pad_to) < size
        sums = jax.jit(metric.update)(outputs(logits), batch)
        total = sums if total is None else jax.tree.map(jnp.add, total, sums)
        start += size
    return metric.compute(jax.device_get(total))


LABELLED = LABELS >= 0
TRUE, GUESS = LABELS[LABELLED], LOGITS.argmax(1)[LABELLED]


def test_accuracy():
    result = evaluate(classification.accuracy())
    assert result["accuracy"] == sklearn.metrics.accuracy_score(TRUE, GUESS)
    assert result["error"] == 1 - result["accuracy"]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k(k):
    expected = sklearn.metrics.top_k_accuracy_score(TRUE, LOGITS[LABELLED], k=k, labels=range(K))
    assert evaluate(classification.top_k(k)) == {f"top{k}": pytest.approx(expected, abs=1e-12)}


def test_mean():
    expected = -np.log(np.exp(LOGITS[LABELLED]).sum(1)).mean()
    labelled = metrics.mean("loss", "cross_entropy", "min", "nats", label="label")
    assert evaluate(labelled) == {"cross_entropy": pytest.approx(expected, rel=1e-6)}
    unlabelled = metrics.mean("loss", "loss")
    assert unlabelled.compute(unlabelled.update({"loss": jnp.array([1.0, 2.0])}, {})) == {"loss": 1.5}
    half = {"mask": jnp.array([True, False])}
    assert unlabelled.compute(unlabelled.update({"loss": jnp.array([1.0, jnp.nan])}, half)) == {"loss": 1.0}


def test_mean_counts_examples_whatever_labels_they_have():
    """Several labels per example, as many as there are examples: three examples are three, and not nine."""
    batch = {"label": jnp.zeros((3, 3), jnp.int32), "labels": jnp.full((3, 5), -1)}
    metric = metrics.mean("loss", "loss")
    sums = metric.update({"loss": jnp.array([1.0, 2.0, 6.0])}, batch)
    assert sums == {"sum": 9.0, "count": 3}
    for wrong in (metrics.mean("loss", "loss", label="label"), metrics.mean("logits", "loss")):
        with pytest.raises(TrainingError, match=r"metric 'loss' needs one number per example, .* the shape"):
            wrong.update({"loss": jnp.ones(3), "logits": jnp.ones((3, 3))}, batch)


def test_every_number_and_every_array_of_numbers_has_a_reading():
    truth = {"label": jnp.zeros(2, jnp.int32), "masks": jnp.zeros((2, 3, 3), jnp.int32)}
    answers = {"label": outputs(LOGITS[:2]), "masks": {"prediction": jnp.zeros((2, 3, 3), jnp.int32)}}
    mean = metrics.mean("loss", "cross_entropy", "min", "nats", label="label")
    measures = [classification.accuracy(), classification.top_k(2), mean, classification.confusion(K)]
    for metric, field in [*((metric, "label") for metric in measures), (segmentation.overlap(3), "masks")]:
        numbers = metric.compute(jax.device_get(metric.update(answers[field], truth)))
        declared = {name: reading.each for name, reading in metric.readings.items()}
        assert declared == {name: isinstance(x, np.ndarray) for name, x in numbers.items() if name != "confusion"}
    error = classification.accuracy().readings["error"]
    assert (error.better, error.unit) == ("min", "%") and mean.readings == {"cross_entropy": Reading("min", "nats")}


def test_readings_do_not_import_jax():
    code = "import sys; from training.metrics.readings import Reading; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_confusion():
    result = evaluate(classification.confusion(K))
    np.testing.assert_array_equal(result["confusion"], sklearn.metrics.confusion_matrix(TRUE, GUESS, labels=range(K)))
    recall = sklearn.metrics.recall_score(TRUE, GUESS, labels=range(K - 1), average=None)
    np.testing.assert_allclose(result["per_class_accuracy"], [*recall, np.nan])


@pytest.mark.parametrize(
    "metric",
    [
        classification.accuracy(),
        classification.top_k(2),
        metrics.mean("loss", "loss", label="label"),
        classification.confusion(K),
    ],
)
def test_batches_and_padding_change_nothing(metric):
    whole = evaluate(metric)
    for sizes, pad_to in [((20, 20, 10), None), ((20, 20, 10), 20), ((1, 49), 64)]:
        parts = evaluate(metric, sizes, pad_to)
        for name in whole:
            np.testing.assert_allclose(parts[name], whole[name], rtol=1e-6)


def test_nothing_counted_is_not_a_number():
    batch = {"label": jnp.array([-1]), "mask": jnp.array([True])}
    metric = classification.accuracy()
    assert np.isnan(metric.compute(metric.update({"prediction": jnp.array([0])}, batch))["accuracy"])


def test_counts_are_integers():
    for metric in (classification.accuracy(), classification.top_k(2), classification.confusion(K)):
        sums = jax.eval_shape(metric.update, outputs(LOGITS), {"label": jnp.asarray(LABELS)})
        assert {x.dtype for x in jax.tree.leaves(sums)} == {jnp.dtype(jnp.int32)}
