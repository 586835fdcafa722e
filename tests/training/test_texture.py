"""A picture as the parameter: the loss of the paper, and an image that comes to have another's correlations."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from models.generative.random_filters import RandomFilters
from models.pixels import Pixels
from training.errors import TrainingError
from training.step import init_state, make_train_step
from training.tasks.texture import gram_error, texture

RANDOM = np.random.RandomState(0)
STRIPES = np.broadcast_to((np.arange(16) % 4 < 2)[None, :, None], (16, 16, 3)).astype(np.float32)


def parts(shape=(16, 16, 3), **options):
    """(task, frozen networks) of a page with few filters."""
    features = RandomFilters(sizes=(3, 5), width=8)
    task = texture({"model": Pixels(shape), "features": features}, **options)
    return task, {"features": features.init(jax.random.key(9), jnp.zeros((1, *shape)), train=False)}


def batch(count=1):
    return {"image": jnp.asarray(np.stack([STRIPES] * count)), "id": jnp.zeros(count, jnp.int32)}


def test_the_error_is_that_of_the_paper():
    """Equation 3: 1 / (4 N² M²) Σ (G − Ĝ)², where G sums over the M positions of N maps."""
    ours, theirs = RANDOM.normal(size=(2, 1, 4, 5, 3)).astype(np.float32)
    grams = [np.einsum("hwn,hwm->nm", x[0], x[0]) for x in (ours, theirs)]
    expected = np.square(grams[0] - grams[1]).sum() / (4 * 3**2 * 20**2)
    np.testing.assert_allclose(gram_error(ours, theirs), [expected], rtol=1e-5)


def test_an_image_takes_on_the_correlations_of_its_source():
    """The loss falls by more than a hundred times, and the frozen network stays as it was."""
    task, frozen = parts()
    adam = {"image": lambda step, hyper: optax.with_extra_args_support(optax.adam(0.05))}
    hyper = {"key": jax.random.key_data(jax.random.key(0)), "task": {"weight": 1e4}}
    hyper |= {section: {"image": {}} for section in ("optimizer", "schedule")}
    state = init_state(task, adam, jax.random.key(0), batch(), hyper)
    step = jax.jit(make_train_step(task, adam, lambda batch, key: batch))
    losses = []
    for _ in range(200):
        state, report = step(state, {}, batch(), frozen, hyper)
        losses.append(float(report["loss"]))
    assert losses[0] > 200 * losses[-1] > 0
    outputs = task.predict(state.params, state.stats, batch(2), jax.random.key(0), frozen)
    assert outputs["made"].shape == (2, 16, 16, 3)
    np.testing.assert_allclose(outputs["gram_error"] * 1e4, losses[-1], rtol=0.5)
    made = task.makes.draw(state.params, state.stats, jax.random.key(0), {"id": jnp.arange(1)}, frozen)
    np.testing.assert_array_equal(made["image"][0], outputs["made"][0])
    assert task.makes.count == len(made["image"]) == 1


def test_more_rows_of_one_source_change_nothing():
    task, frozen = parts()
    params, stats = task.init(jax.random.key(0), batch())
    run = lambda count: task.loss(
        "image", params, stats, batch(count), jax.random.key(0), frozen, {"task": {"weight": 2.0}}
    )
    (one, weight, _), (eight, weights, _) = run(1), run(8)
    np.testing.assert_allclose(one / weight, eight / weights, rtol=1e-5)
    assert weight == 1 and weights == 8


def test_bad_pages_are_one_clear_line():
    task, frozen = parts(layers=("stage2",))
    params, stats = task.init(jax.random.key(0), batch())
    with pytest.raises(TrainingError, match=r"task\.layers='stage2' is unknown: did you mean 'stage1'"):
        task.predict(params, stats, batch(), jax.random.key(0), frozen)
    with pytest.raises(TrainingError, match=r"task\.layers is empty"):
        parts(layers=())[0].init(jax.random.key(0), batch())
