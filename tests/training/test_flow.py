"""The likelihood of a flow whose density is known, and what it takes of the data."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from training.errors import TrainingError
from training.tasks.flow import flow


class Affine(nn.Module):
    """z = (x − 0.4) / 0.1: then x is normal with these moments."""

    latent: int = 4

    @nn.compact
    def forward(self, x):
        self.param("unused", nn.initializers.zeros, (1,))
        return (x.reshape(len(x), -1) - 0.4) / 0.1, jnp.full(len(x), -4 * jnp.log(0.1))

    def decode(self, z):
        return 0.4 + 0.1 * z.reshape(-1, 2, 2, 1)

    def __call__(self, x, train=False):
        return self.forward(x)[0]


BATCH = {"image": jnp.asarray(np.random.RandomState(0).uniform(size=(5, 2, 2, 1)), jnp.float32), "id": jnp.arange(5)}


@pytest.mark.parametrize(("scale", "steps"), [("unit", 256), ("symmetric", 128)])
def test_the_likelihood_is_that_of_the_density_in_steps_of_8_bits(scale, steps):
    task = flow({"model": Affine()}, scale=scale)
    params, stats = task.init(jax.random.key(0), BATCH)
    outputs = task.predict(params, stats, BATCH, jax.random.key(0), {})
    density = scipy.stats.norm.logpdf(np.asarray(BATCH["image"]), 0.4, 0.1).sum((1, 2, 3))
    np.testing.assert_allclose(outputs["nll"], 4 * np.log(steps) - density, rtol=1e-5)
    np.testing.assert_allclose(outputs["bits_per_dim"], outputs["nll"] / (4 * np.log(2)), rtol=1e-5)
    value, weight, (_, sums) = task.loss("model", params, stats, BATCH, jax.random.key(0), {}, {})
    np.testing.assert_allclose(value / weight, outputs["nll"].mean(), rtol=1e-5)
    np.testing.assert_allclose(sums["bits_per_dim"] / weight, outputs["bits_per_dim"].mean(), rtol=1e-5)


def test_samples_have_the_moments_and_the_temperature():
    task = flow({"model": Affine()}, scale="unit")
    params, stats = task.init(jax.random.key(0), BATCH)
    draw = lambda temperature: task.makes.draw(
        params, stats, jax.random.key(1), {"id": jnp.arange(2000)}, {}, temperature=temperature
    )["image"]
    for temperature in (1.0, 0.5):
        assert draw(temperature).mean() == pytest.approx(0.4, abs=0.01)
        assert draw(temperature).std() == pytest.approx(0.1 * temperature, rel=0.05)


def test_another_scale_is_one_clear_line():
    with pytest.raises(TrainingError, match=r"data\.scale='standardise' is unknown"):
        flow({"model": Affine()}, scale="standardise")
