"""Consistency training: the boundary, the exact map of a point, and what is refused."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training.errors import TrainingError
from training.tasks.consistency import consistency, skips

SHAPE, SMALLEST = (4, 4, 1), 0.002
BATCH = {"image": jnp.full((6, *SHAPE), 0.3), "id": jnp.arange(6, dtype=jnp.int32)}


class Point(nn.Module):
    """With f(x, σ) = c + σ_1/σ (x − c), the exact consistency function where all data are the point c."""

    @nn.compact
    def __call__(self, x, time, train):
        point = self.param("point", nn.initializers.constant(0.3), ())
        sigma = jnp.exp(4 * time).reshape(-1, 1, 1, 1)
        skip, out, read = skips(sigma, SMALLEST)
        x = x / read
        return (point + SMALLEST / sigma * (x - point) - skip * x) / jnp.where(out == 0, 1, out)


def make(**keys):
    task = consistency({"model": Point()}, shape=SHAPE, scale="symmetric", **keys)
    return task, *task.init(jax.random.key(0), BATCH)


def test_the_answer_to_the_least_noise_is_the_input():
    skip, out, _ = skips(jnp.array(SMALLEST), SMALLEST)
    np.testing.assert_array_equal([skip, out], [1, 0])


def test_the_exact_map_costs_nothing_and_another_one_does():
    task, params, stats = make()
    cost = jax.jit(lambda params: task.loss("model", params, stats, BATCH, jax.random.key(0), {}, {})[0])
    assert cost(params) / 6 < 0.05 < cost({"model": {"point": jnp.array(0.1)}})
    outputs = task.predict(params, stats, BATCH, jax.random.key(0), {})
    assert outputs["loss"].shape == (6,) and set(task.metrics) == set(outputs)


@pytest.mark.parametrize("steps", [1, 3])
def test_samples_of_the_exact_map_are_the_point(steps):
    task, params, stats = make()
    images = task.makes.draw(params, stats, jax.random.key(0), {"id": jnp.arange(4)}, {}, steps=steps)["image"]
    np.testing.assert_allclose(images, 0.3, atol=0.01)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (dict(levels=1), "task.levels=1"),
        (dict(sampling_steps=40), "40 sampling steps are not between 1 and 39"),
        (dict(scale="unit"), "data.scale='symmetric', not 'unit'"),
    ],
)
def test_bad_pages_are_one_clear_line(keys, message):
    with pytest.raises(TrainingError, match=message):
        consistency({"model": Point()}, shape=SHAPE, **dict(scale="symmetric") | keys)
