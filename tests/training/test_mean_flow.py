"""MeanFlow: its identity holds for the exact average velocity of a point, which needs one step."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training.errors import TrainingError
from training.tasks.mean_flow import mean_flow

SHAPE = (4, 4, 1)
BATCH = {"image": jnp.full((6, *SHAPE), 0.3), "id": jnp.arange(6, dtype=jnp.int32)}


class Point(nn.Module):
    """u(z, r, t) = (z − c)/t, the average velocity where all data are the point c; for another one r matters."""

    @nn.compact
    def __call__(self, x, time, train, span):
        point = self.param("point", nn.initializers.constant(0.3), ())
        wrong = self.param("wrong", nn.initializers.zeros, ())
        of_all = lambda time: time.reshape(-1, 1, 1, 1) / 1000
        return (x - point) / of_all(time) + wrong * of_all(span)


def make(**keys):
    task = mean_flow({"model": Point()}, shape=SHAPE, scale="symmetric", **keys)
    return task, *task.init(jax.random.key(0), BATCH)


def test_the_exact_velocity_costs_nothing_and_another_one_does():
    task, params, stats = make(apart=1.0)
    error = lambda params: task.predict(params, stats, BATCH, jax.random.key(0), {})["loss"].mean()
    wrong = {"model": {**params["model"], "wrong": jnp.ones(())}}
    assert error(params) < 1e-6 < 1e-3 < error(wrong)
    value, weight, _ = task.loss("model", wrong, stats, BATCH, jax.random.key(0), {}, {})
    assert 0.9 < value / weight <= 1  # the adaptive weight makes all examples alike
    # Where no example has r < t, what depends on the span is never seen.
    never = make(apart=0.0)[0]
    assert never.predict(wrong, stats, BATCH, jax.random.key(0), {})["loss"].mean() < 1e-6


@pytest.mark.parametrize("steps", [1, 4])
def test_samples_of_the_exact_velocity_are_the_point(steps):
    task, params, stats = make()
    images = task.makes.draw(params, stats, jax.random.key(0), {"id": jnp.arange(4)}, {}, steps=steps)["image"]
    np.testing.assert_allclose(images, 0.3, atol=1e-5)


@pytest.mark.parametrize(
    ("keys", "message"), [(dict(apart=1.5), "task.apart=1.5"), (dict(sampling_steps=0), "task.sampling_steps=0")]
)
def test_bad_pages_are_one_clear_line(keys, message):
    with pytest.raises(TrainingError, match=message):
        make(**keys)
