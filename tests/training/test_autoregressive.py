"""Probabilities of tiny images add up to 1, samples have them, and what is given of an image stays."""

import itertools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.generative.gated_pixelcnn import GatedPixelCNN
from models.generative.igpt import IGPT
from models.generative.made import MADE
from models.generative.pixelcnn import PixelCNN
from training.errors import TrainingError
from training.tasks.autoregressive import autoregressive

SHAPE = (2, 2, 1)
IMAGES = np.array(list(itertools.product([0.0, 1.0], repeat=4)), np.float32).reshape(-1, *SHAPE)


def started(network, shape=SHAPE, likelihood="bernoulli", scale="unit"):
    """(task, params, stats), with biases, and weights so large that the values depend on one another."""
    task = autoregressive({"model": network}, shape=shape, scale=scale, likelihood=likelihood)
    batch = {"image": jnp.zeros((1, *shape)), "label": jnp.zeros(1, jnp.int32)}
    params, stats = task.init(jax.random.key(0), batch)
    return task, jax.tree.map(lambda leaf: 4 * leaf + 0.3, params), stats


def nll(task, params, stats, images):
    batch = {"image": jnp.asarray(images), "id": jnp.arange(len(images)), "label": jnp.zeros(len(images), jnp.int32)}
    return np.asarray(jax.jit(task.predict)(params, stats, batch, jax.random.key(0), {})["nll"])


def drawn(task, params, stats, count, key=0, **options):
    condition = {"id": jnp.arange(count), **{k: options.pop(k) for k in ("image",) if k in options}}
    draw = jax.jit(partial(task.makes.draw, **options))
    return np.asarray(draw(params, stats, jax.random.key(key), condition, {})["image"])


def test_probabilities_of_all_images_add_up_to_one_and_samples_have_them():
    task, params, stats = started(MADE(SHAPE, (16,)))
    p = np.exp(-nll(task, params, stats, IMAGES))
    assert p.sum() == pytest.approx(1, abs=1e-5) and p.max() > 3 * p.min()
    samples = drawn(task, params, stats, 4000)
    numbers = (samples.reshape(-1, 4) @ [8, 4, 2, 1]).astype(int)
    found = np.bincount(numbers, minlength=16) / 4000
    np.testing.assert_allclose(found, p, atol=4 * np.sqrt(0.25 / 4000))


def test_so_do_those_of_several_channels_and_levels():
    shape, levels = (1, 2, 2), 3
    images = np.array(list(itertools.product([0, 0.5, 1], repeat=4)), np.float32).reshape(-1, *shape)
    task, params, stats = started(MADE(shape, (16,), levels), shape, "categorical")
    assert np.exp(-nll(task, params, stats, images)).sum() == pytest.approx(1, abs=1e-5)
    assert set(np.unique(drawn(task, params, stats, 20))) == {0, 0.5, 1}


def test_the_upper_part_that_is_given_stays_and_the_rest_is_drawn():
    shape = (4, 3, 1)
    task, params, stats = started(MADE(shape, (16,)), shape)
    image = jnp.asarray(np.random.RandomState(0).randint(0, 2, (6, *shape)), jnp.float32)
    for keep, rows in ((0.5, 2), (0.25, 1), (1.0, 4)):
        completed = drawn(task, params, stats, 6, image=image, keep=keep)
        np.testing.assert_array_equal(completed[:, :rows], image[:, :rows])
        assert rows == 4 or np.any(completed[:, rows:] != image[:, rows:])


class Whole(nn.Module):
    """A network that computes the whole image in every step: the naive way, with nothing kept."""

    network: nn.Module
    conditions: tuple[str, ...] = ()

    def __call__(self, x, train):
        return self.network(x, train)

    def step(self, x, position):
        return self.network(x, False).reshape(len(x), x[0].size, -1)[:, position]


@pytest.mark.parametrize(
    "network",
    [
        MADE((4, 5, 2), (20,), 3),
        PixelCNN(width=4, depth=2, first=5, hidden=6, outputs=3),
        GatedPixelCNN(width=4, depth=3, first=5, hidden=6, outputs=3, embedding=2),
        IGPT(width=8, depth=2, heads=2, outputs=3),
    ],
    ids=lambda network: type(network).__name__,
)
def test_samples_with_what_is_kept_are_those_of_the_naive_way_to_the_bit(network):
    shape = (4, 5, 2)
    task, params, stats = started(network, shape, "categorical")
    naive, _, _ = started(Whole(network), shape, "categorical")
    whole = {"model": {"network": params["model"]}}
    image = jnp.asarray(np.random.RandomState(0).randint(0, 3, (6, *shape)) / 2, jnp.float32)
    for options in ({}, dict(image=image, keep=0.5)):
        kept = drawn(task, params, stats, 6, **options)
        np.testing.assert_array_equal(kept, drawn(naive, whole, stats, 6, **options))
        assert len(np.unique(kept)) == 3


def test_a_low_temperature_draws_the_most_probable_values():
    task, params, stats = started(MADE(SHAPE, (16,)))
    cold = drawn(task, params, stats, 50, temperature=1e-4)
    assert len(np.unique(cold.reshape(50, -1), axis=0)) == 1
    assert len(np.unique(drawn(task, params, stats, 50).reshape(50, -1), axis=0)) > 1


def test_what_the_likelihood_cannot_take_is_one_clear_line():
    with pytest.raises(TrainingError, match=r"needs data\.scale='unit', not 'symmetric'"):
        started(MADE(SHAPE, (4,)), scale="symmetric")
    with pytest.raises(TrainingError, match=r"'categorical' takes two logits or more .* gives 1 numbers for a pixel"):
        started(MADE(SHAPE, (4,)), likelihood="categorical")
    with pytest.raises(TrainingError, match="did you mean 'bernoulli'"):
        started(MADE(SHAPE, (4,)), likelihood="bernouli")
    task, *variables = started(MADE(SHAPE, (4,)))
    for options, message in (
        (dict(temperature=0.0), "temperature=0.0 is not above 0"),
        (dict(keep=1.5), "keep=1.5 is not a share"),
        (dict(image=jnp.zeros((2, 3, 3, 1))), r"to complete is \(3, 3, 1\), not \(2, 2, 1\)"),
    ):
        with pytest.raises(TrainingError, match=message):
            drawn(task, *variables, 2, **options)
