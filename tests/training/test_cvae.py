"""A conditional VAE: probabilities of all completions add up to 1, and the bounds are ordered."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from models.generative.cvae import CVAE
from training.errors import TrainingError
from training.tasks.cvae import cvae, divergence, seen_quadrants

SHAPE = (2, 2, 1)
IMAGES = np.array(list(itertools.product([0.0, 1.0], repeat=4)), np.float32).reshape(-1, *SHAPE)


def started(**options):
    task = cvae({"model": CVAE(SHAPE, 2, (8,))}, scale="unit", **options)
    params, stats = task.init(jax.random.key(0), {"image": jnp.asarray(IMAGES)})
    return task, jax.tree.map(lambda leaf: 2 * leaf + 0.1, params), stats


def test_the_quadrants():
    draw = lambda known: "\n".join("".join(".x"[int(x)] for x in row) for row in known[..., 0])
    shown = [draw(seen_quadrants(4, 4, count)) for count in (1, 2, 3)]
    assert shown == ["....\n....\nxx..\nxx..", "xx..\nxx..\nxx..\nxx..", "xx..\nxx..\nxxxx\nxxxx"]


def test_probabilities_of_all_completions_add_up_to_one():
    """With the same samples for every completion the plain estimate does so to the digit."""
    task, params, stats = started(quadrants=2, importance_samples=400)
    image = IMAGES[(IMAGES[:, :, 0, 0] == [1, 0]).all(1)]  # the left half is the same
    batch = {"image": jnp.asarray(image), "id": jnp.full(len(image), 7), "label": jnp.zeros(len(image), jnp.int32)}
    outputs = jax.jit(task.predict)(params, stats, batch, jax.random.key(0), {})
    assert len(image) == 4
    assert np.exp(-outputs["baseline"]).sum() == pytest.approx(1, abs=1e-5)
    assert np.exp(-outputs["monte_carlo"]).sum() == pytest.approx(1, abs=1e-4)
    assert np.exp(-outputs["importance"]).sum() == pytest.approx(1, abs=0.1)
    np.testing.assert_array_equal(outputs["completed"][:, :, 0], image[:, :, 0])


def test_the_loss_bounds_the_likelihood():
    task, params, stats = started(importance_samples=500)
    batch = {"image": jnp.asarray(IMAGES), "id": jnp.arange(16), "label": jnp.zeros(16, jnp.int32)}
    loss = jax.jit(lambda key: task.loss("model", params, stats, batch, key, {}, {}))
    found = [loss(key) for key in jax.random.split(jax.random.key(0), 50)]
    sums = [parts for _, _, (_, parts) in found]
    outputs = jax.jit(task.predict)(params, stats, batch, jax.random.key(0), {})
    np.testing.assert_allclose(found[0][0], sum(sums[0].values()), rtol=1e-5)
    np.testing.assert_allclose(sums[0]["baseline"], outputs["baseline"].sum(), rtol=1e-5)
    bound = np.mean([part["reconstruction"] + part["kl"] for part in sums])
    assert bound > outputs["importance"].sum()
    np.testing.assert_allclose(outputs["importance"].mean(), outputs["monte_carlo"].mean(), rtol=0.03)


def test_the_guess_is_trained_by_its_own_loss_alone():
    task, params, stats = started()
    batch = {"image": jnp.asarray(IMAGES), "id": jnp.arange(16)}

    def part(own, name):
        _, _, (_, sums) = task.loss("model", {"model": own}, stats, batch, jax.random.key(0), {}, {})
        return sums[name]

    for name, moves in (("baseline", True), ("kl", False), ("reconstruction", False)):
        gradient = jax.grad(part)(params["model"], name)["guesser"]
        assert any(np.any(x) for x in jax.tree.leaves(gradient)) == moves


def test_divergence_is_that_of_samples():
    q, p = (jnp.array([[0.3, -1.0]]), jnp.array([[0.2, -0.4]])), (jnp.array([[0.0, 0.5]]), jnp.array([[-0.3, 0.6]]))
    z = np.random.default_rng(0).normal(q[0], np.exp(q[1] / 2), (200_000, 2))
    logs = [scipy.stats.norm.logpdf(z, mean, np.exp(log_variance / 2)).sum(1) for mean, log_variance in (q, p)]
    np.testing.assert_allclose(divergence(q, p)[0], np.mean(logs[0] - logs[1]), rtol=0.01)


def test_bad_values_are_one_clear_line():
    with pytest.raises(TrainingError, match=r"task\.quadrants=4: 1, 2 or 3"):
        started(quadrants=4)
    with pytest.raises(TrainingError, match=r"data\.scale='unit', not 'symmetric'"):
        cvae({"model": CVAE()}, scale="symmetric")
    with pytest.raises(TrainingError, match="at least one sample"):
        started(importance_samples=0)
