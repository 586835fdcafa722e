"""The bounds of a VAE against closed forms, and against each other."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from models.generative.vae import VAE
from training.errors import TrainingError
from training.tasks.vae import kl_to_prior, vae

SHAPE, LATENT, NOISE = (2, 2, 1), 2, 0.5
RANDOM = np.random.default_rng(0)
W, OFFSET = RANDOM.normal(size=(LATENT, 4)), RANDOM.normal(size=4)


class LinearGaussian(nn.Module):
    """x = W z + b + noise. Its posterior is Gaussian: exactly that which `encode` gives when `excess` is 1."""

    excess: float = 1.0
    shape: tuple = SHAPE
    latent: int = LATENT
    outputs: int = 2

    def setup(self):
        self.offset = self.param("offset", lambda key: jnp.asarray(OFFSET, jnp.float32))

    def encode(self, x):
        # A diagonal posterior needs orthogonal columns: the model is rotated to its principal axes.
        mean = (x.reshape(len(x), -1) - self.offset) @ ROTATED.T @ COVARIANCE / NOISE**2
        variance = jnp.broadcast_to(jnp.diag(COVARIANCE), mean.shape)
        return mean, jnp.log(variance * self.excess)

    def decode(self, z):
        mean = z @ ROTATED + self.offset
        output = jnp.stack([mean, jnp.full_like(mean, np.log(NOISE))], -1)
        return output.reshape(*z.shape[:-1], 2, 2, 2)

    def __call__(self, x, train=False):
        return self.decode(self.encode(x)[0])


_, _SINGULAR, _AXES = np.linalg.svd(W, full_matrices=False)
ROTATED = jnp.asarray(_SINGULAR[:, None] * _AXES, jnp.float32)
COVARIANCE = jnp.asarray(np.linalg.inv(np.eye(LATENT) + np.diag(_SINGULAR**2) / NOISE**2), jnp.float32)
EVIDENCE = scipy.stats.multivariate_normal(OFFSET, W.T @ W + NOISE**2 * np.eye(4))
BATCH = {
    "image": jnp.asarray(EVIDENCE.rvs(64, random_state=0).reshape(64, *SHAPE), jnp.float32),
    "label": jnp.zeros(64, jnp.int32),
    "id": jnp.arange(64, dtype=jnp.int32),
}


def cost(task, params, batch=BATCH, key=0, hyper=None):
    value, weight, (_, sums) = jax.jit(task.loss, static_argnums=0)(
        "model", params, {"model": {}}, batch, jax.random.key(key), {}, {"task": {"beta": 1.0} | (hyper or {})}
    )
    return value / weight, {name: number / weight for name, number in sums.items()}


def test_bounds_equal_the_evidence_where_the_posterior_is_exact():
    exact = -EVIDENCE.logpdf(np.asarray(BATCH["image"]).reshape(64, 4))
    for k in (1, 3):
        task = vae({"model": LinearGaussian()}, scale="unit", likelihood="gaussian", samples=k, importance_samples=45)
        params, stats = task.init(jax.random.key(0), BATCH)
        outputs = task.predict(params, stats, BATCH, jax.random.key(1), {})
        np.testing.assert_allclose(outputs["nll"], exact, rtol=1e-4)  # of each example: all weights are equal
        if k > 1:
            np.testing.assert_allclose(cost(task, params)[0], exact.mean(), rtol=1e-4)
        # One sample with the analytic KL is right on average only.
        average = np.mean([cost(task, params, key=seed)[0] for seed in range(40)])
        np.testing.assert_allclose(average, exact.mean(), rtol=0.03)


def test_more_samples_bound_more_tightly():
    """−ELBO ≥ −IWAE_k ≥ −IWAE_K ≥ −log p, on the same weights, with a posterior three times too wide."""
    exact = -EVIDENCE.logpdf(np.asarray(BATCH["image"]).reshape(64, 4)).mean()
    network, bounds = LinearGaussian(excess=3.0), []
    for k in (1, 5, 50):
        task = vae({"model": network}, scale="unit", likelihood="gaussian", samples=k)
        params, _ = task.init(jax.random.key(0), BATCH)
        bounds.append(np.mean([cost(task, params, key=seed)[0] for seed in range(10)]))
    elbo, five, fifty = bounds
    assert elbo > five + 0.05 > fifty + 0.05 > exact
    assert fifty == pytest.approx(exact, abs=0.05)


def test_kl_is_the_closed_form():
    mean, log_variance = RANDOM.normal(size=(2, 3, 4))
    expected = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(-1)
    np.testing.assert_allclose(kl_to_prior(jnp.asarray(mean), jnp.asarray(log_variance)), expected, rtol=1e-5)


@pytest.fixture(scope="module")
def trained():
    task = vae({"model": VAE(shape=(4, 4, 1), latent=3, hidden=(8,))}, scale="unit", importance_samples=3)
    image = jnp.asarray(RANDOM.integers(0, 2, (6, 4, 4, 1)), jnp.float32)
    batch = {"image": image, "label": jnp.zeros(6, jnp.int32), "id": jnp.arange(6, dtype=jnp.int32)}
    return task, batch, *task.init(jax.random.key(0), batch)


def test_parts_of_the_loss(trained):
    task, batch, params, _ = trained
    value, sums = cost(task, params, batch)
    np.testing.assert_allclose(value, sums["reconstruction"] + sums["kl"], rtol=1e-5)
    weighed, _ = cost(task, params, batch, hyper={"beta": 4.0})
    np.testing.assert_allclose(weighed, sums["reconstruction"] + 4 * sums["kl"], rtol=1e-5)
    assert sums["reconstruction"] > 16 * 0.5  # a sum over 16 pixels, about log 2 each


def test_noise_follows_the_example(trained):
    task, batch, params, stats = trained
    backwards = {name: x[::-1] for name, x in batch.items()}
    key = jax.random.key(3)
    for name, x in task.predict(params, stats, batch, key, {}).items():
        there = task.predict(params, stats, backwards, key, {})[name][::-1]
        np.testing.assert_allclose(x, there, rtol=1e-5, err_msg=name)


def test_samples_and_codes(trained):
    task, _, params, stats = trained
    ids = jnp.arange(4, dtype=jnp.int32)
    draw = lambda **condition: task.makes.draw(params, stats, jax.random.key(0), condition, {})["image"]
    images = draw(id=ids)
    assert images.shape == (4, 4, 4, 1) and images.min() >= 0 and images.max() <= 1
    same = draw(id=ids[2:])
    np.testing.assert_allclose(same, images[2:], rtol=1e-5)
    alike = draw(id=ids, latent=jnp.zeros((4, *task.makes.given["latent"].shape)))
    assert jnp.ptp(alike, axis=0).max() == 0
    with pytest.raises(TrainingError, match="not conditional"):
        draw(id=ids, label=ids)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (dict(scale="symmetric"), r"'bernoulli' needs data.scale='unit', not 'symmetric'"),
        (dict(scale="unit", likelihood="bernouli"), "did you mean 'bernoulli'"),
        (dict(scale="unit", samples=0), "task.samples=0: at least one"),
        (dict(scale="unit", importance_samples=0), "task.importance_samples=0"),
        (dict(scale="unit", likelihood="gaussian"), "needs model.outputs=2, not 1"),
    ],
)
def test_bad_pages_are_one_clear_line(keys, message):
    with pytest.raises(TrainingError, match=message):
        vae({"model": VAE()}, **keys)
