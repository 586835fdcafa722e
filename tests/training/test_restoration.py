"""Denoising: the noise is the target, drawn per use and on any placement alike; it learns to take it out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data.scenes import scenes
from models.restoration.dncnn import DnCNN
from training.errors import TrainingError
from training.metrics.restoration import psnr
from training.tasks.restoration import restoration, with_noise

KEY = jax.random.key(0)


class Nothing:
    """A network that finds no noise."""

    conditions = ()

    def init(self, key, x, train):
        return {"params": {}}

    def apply(self, variables, x, train, **options):
        return (jnp.zeros_like(x), {}) if train else jnp.zeros_like(x)


def batch(count=32, side=16):
    image = np.random.RandomState(0).uniform(size=(count, side, side, 3)).astype(np.float32)
    return {"image": jnp.asarray(image), "id": jnp.arange(count, dtype=jnp.int32)}


def test_noise_has_the_deviation_and_is_that_of_the_example():
    examples = batch()
    noisy, noise = with_noise(examples["image"], KEY, examples, 0.1)
    assert np.std(noise) == pytest.approx(0.1, rel=0.02) and abs(np.mean(noise)) < 0.002
    np.testing.assert_array_equal(noisy, examples["image"] + noise)
    assert noisy.min() < -0.1 and noisy.max() > 1.1  # not clipped
    order = np.array([7, 3])
    part = {name: x[order] for name, x in examples.items()}
    np.testing.assert_array_equal(with_noise(part["image"], KEY, part, 0.1)[1], noise[order])
    again = with_noise(examples["image"], KEY, {**examples, "use": jnp.ones(32, jnp.int32)}, 0.1)[1]
    assert abs(again - noise).min(axis=(1, 2, 3)).max() < 0.1 and not np.array_equal(again, noise)


def test_the_loss_is_half_the_squared_distance_to_the_noise():
    """Of a network that finds nothing it is half the squared noise, and its PSNR that of the noisy image."""
    task, examples = restoration({"model": Nothing()}, scale="unit", sigma=25.0), batch()
    params, stats = task.init(KEY, examples)
    value, weight, (_, sums) = task.loss("model", params, stats, examples, KEY, {}, {"task": {}})
    expected = 16 * 16 * 3 * (25 / 255) ** 2 / 2
    assert weight == 32 and value / weight == pytest.approx(expected, rel=0.02)
    assert sums["psnr"] / weight == pytest.approx(20 * np.log10(255 / 25), abs=0.1)  # 20.17 dB


def test_predictions_are_the_picture_as_it_is_and_a_trial():
    task, examples = restoration({"model": Nothing()}, scale="unit", sigma=25.0), batch(4)
    outputs = task.predict(*task.init(KEY, examples), examples, KEY, {})
    np.testing.assert_array_equal(outputs["restored"], examples["image"])
    np.testing.assert_array_equal(outputs["denoised"], outputs["noisy"])
    np.testing.assert_allclose(outputs["psnr"], psnr(outputs["noisy"], examples["image"]))
    assert task.best in task.metrics["psnr"].readings and outputs["ssim"].shape == (4,)


@pytest.mark.parametrize(
    ("options", "message"),
    [(dict(scale="standardise"), "needs data.scale='unit'"), (dict(scale="unit", sigma=0.0), "task.sigma=0.0")],
)
def test_what_would_be_another_noise_is_refused(options, message):
    with pytest.raises(TrainingError, match=message):
        restoration({"model": DnCNN()}, **options)


def test_it_learns_to_take_noise_out():
    source = scenes("", "train", size=32, num_train=64, num_validation=1, num_test=1)
    image = jnp.asarray(source.arrays["image"][:48] / np.float32(255))
    task = restoration({"model": DnCNN(depth=4, width=12)}, scale="unit", sigma=25.0)
    examples = {"image": image, "id": jnp.arange(48, dtype=jnp.int32)}
    params, stats = task.init(KEY, examples)
    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(carry, number):
        params, stats, memory = carry
        chosen = jax.random.choice(jax.random.fold_in(KEY, number), 48, (8,))
        part = {"image": image[chosen], "id": chosen, "use": jnp.full(8, number)}

        def loss(params):
            value, weight, (moved, _) = task.loss("model", params, stats, part, KEY, {}, {"task": {}})
            return value / weight, {**stats, **moved}

        gradient, stats = jax.grad(loss, has_aux=True)(params)
        updates, memory = optimizer.update(gradient, memory)
        return (optax.apply_updates(params, updates), stats, memory), None

    carry = (params, stats, optimizer.init(params))
    for number in range(150):
        carry, _ = step(carry, number)
    unseen = {"image": jnp.asarray(source.arrays["image"][48:] / np.float32(255)), "id": jnp.arange(16)}
    outputs = task.predict(carry[0], carry[1], unseen, KEY, {})
    assert outputs["psnr"].mean() > psnr(outputs["noisy"], unseen["image"]).mean() + 3
    assert outputs["ssim"].mean() > 0.7
