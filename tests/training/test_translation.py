"""CycleGAN: the losses by hand, the history of made images on any placement, and cycles that close."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data.fields import Field
from data.pipeline import EvaluationFeed
from data.source import ArraySource, Info
from models.generative.cyclegan import Discriminator, Generator
from training.errors import TrainingError
from training.step import init_state, make_train_step
from training.tasks.translation import remember, translation

RANDOM = np.random.RandomState(0)
alone = lambda x: x
gathering = partial(jax.lax.all_gather, axis_name="batch", tiled=True)


class Affine(nn.Module):
    """A generator of two numbers."""

    @nn.compact
    def __call__(self, x, train):
        scale = self.param("scale", nn.initializers.normal(1.0), ())
        return scale * x + self.param("offset", nn.initializers.normal(1.0), ())


class Mean(nn.Module):
    """A discriminator of one number, with two scores for an image."""

    @nn.compact
    def __call__(self, x, train):
        scale = self.param("scale", nn.initializers.normal(1.0), ())
        return scale * jnp.stack([x.mean((1, 2, 3)), x[:, 0, 0, 0]], axis=-1)


class Counting(nn.Module):
    """A generator with statistics."""

    @nn.compact
    def __call__(self, x, train):
        return nn.BatchNorm(use_running_average=not train)(x)


def affine():
    generators = {name: Affine() for name in ("to_other", "to_image")}
    return generators | {name: Mean() for name in ("discriminator_other", "discriminator_image")}


def batch(count=8, size=2):
    draw = lambda: jnp.asarray(RANDOM.uniform(-1, 1, (count, size, size, 3)), jnp.float32)
    ids = jnp.arange(count, dtype=jnp.int32)
    return {"image": draw(), "other": draw(), "id": ids, "id/other": ids[::-1]}


HYPER = {"task": {"cycle": 10.0, "identity": 0.5}}


def test_losses_are_those_of_the_paper():
    examples = batch()
    task = translation(affine(), gather=alone, history=3)
    params, stats = task.init(jax.random.key(0), examples)
    own = {**params["generators"], **params["discriminators"]}
    g, f = (lambda x, p=own[k]: p["scale"] * x + p["offset"] for k in ("to_other", "to_image"))
    d_other, d_image = (
        lambda x, p=own[k]: p["scale"] * np.stack([x.mean((1, 2, 3)), x[:, 0, 0, 0]], -1)
        for k in ("discriminator_other", "discriminator_image")
    )
    a, b = np.asarray(examples["image"]), np.asarray(examples["other"])
    square = lambda x: np.square(x).mean(-1)
    distance = lambda x, y: np.abs(x - y).mean((1, 2, 3))

    cycle = distance(f(g(a)), a) + distance(g(f(b)), b)
    same = distance(f(a), a) + distance(g(b), b)
    generators = square(d_other(g(a)) - 1) + square(d_image(f(b)) - 1) + 10 * cycle + 5 * same
    others = square(d_other(b) - 1) / 2 + square(d_other(g(a))) / 2
    discriminators = others + square(d_image(a) - 1) / 2 + square(d_image(f(b))) / 2
    for player, expected in (("generators", generators), ("discriminators", discriminators)):
        value, weight, (moved, sums) = task.loss(player, params, stats, examples, jax.random.key(1), {}, HYPER)
        np.testing.assert_allclose(value, expected.sum(), rtol=1e-4)
        assert weight == 8 and set(moved) == {player}
        if player == "generators":
            np.testing.assert_allclose(sums["cycle"], cycle.sum(), rtol=1e-4)
    outputs = task.predict(params, stats, examples, jax.random.key(0), {})
    np.testing.assert_allclose(outputs["cycle_loss_image"] + outputs["cycle_loss_other"], cycle, rtol=1e-4)
    np.testing.assert_allclose(outputs["identity_loss_image"] + outputs["identity_loss_other"], same, rtol=1e-4)
    np.testing.assert_allclose(outputs["to_other"], g(a), rtol=1e-4)
    np.testing.assert_allclose(outputs["to_image"], f(b), rtol=1e-4)


@pytest.mark.parametrize("sizes", [(7, 3), (3, 7)])
def test_evaluation_sees_all_of_both_sets(sizes):
    """Each loss is averaged over its own set, however long the other is, whatever the batch."""
    task = translation(affine(), gather=alone)
    draw = lambda count: RANDOM.uniform(-1, 1, (count, 2, 2, 3)).astype(np.float32)
    arrays = dict(zip(("image", "other"), map(draw, sizes), strict=True))
    fields = {
        "image": Field("image", (2, 2, 3), "float32"),
        "other": Field("image", (2, 2, 3), "float32", group="other"),
    }
    other = ArraySource({"other": arrays["other"]}, Info({"other": fields["other"]}, (), ()))
    source = ArraySource({"image": arrays["image"]}, Info(fields, (), ()), {"other": other})
    params, stats = task.init(jax.random.key(0), arrays)
    whole = {}
    for field in arrays:  # the outputs of a field do not depend on the other one
        outputs = task.predict(params, stats, dict.fromkeys(arrays, arrays[field]), jax.random.key(0), {})
        whole |= {name: x for name, x in outputs.items() if name.endswith(f"_loss_{field}")}
    for size in (2, 5, 8):
        feed = EvaluationFeed(source, size)
        assert len(feed) == -(-7 // size)
        sums = []
        for batch in feed:
            outputs = task.predict(params, stats, batch, jax.random.key(0), {})
            sums.append({name: metric.update(outputs, batch) for name, metric in task.metrics.items()})
        total = jax.tree.map(lambda *x: np.sum(x, axis=0), *sums)
        for name, metric in task.metrics.items():
            expected = whole[f"{name}_loss_image"].mean() + whole[f"{name}_loss_other"].mean()
            np.testing.assert_allclose(metric.compute(total[name])[name], expected, rtol=1e-5)


def test_a_history_fills_in_order_and_then_swaps_half():
    keys = lambda step, count: jax.random.split(jax.random.key(step), count)
    history = jnp.zeros((6, 1, 1, 1))
    for step in range(3):  # the first two, of 4 rows each, fill it
        made = 1.0 + 4 * step + jnp.arange(4.0).reshape(4, 1, 1, 1)
        shown, after = remember(history, jnp.int32(min(4 * step, 6)), made, keys(step, 4), alone)
        if step < 2:
            np.testing.assert_array_equal(shown, made)
            np.testing.assert_array_equal(after.ravel()[: 4 * step + 4], np.arange(1, 7)[: 4 * step + 4])
        history = after
    swapped, count = 0, 400
    history = -1.0 - jnp.arange(6.0).reshape(6, 1, 1, 1)
    made = jnp.arange(float(count)).reshape(count, 1, 1, 1)
    shown, after = remember(history, jnp.int32(6), made, keys(9, count), alone)
    swapped = np.asarray(shown.ravel() < 0)
    assert 150 < swapped.sum() < 250 and set(np.asarray(shown.ravel())[swapped]) == set(range(-6, 0))
    np.testing.assert_array_equal(np.asarray(shown.ravel())[~swapped], np.asarray(made.ravel())[~swapped])
    assert swapped[np.asarray(after.ravel(), int)].all()  # what is stored was made, and not shown


def test_the_history_is_the_same_on_replicas():
    history, made = jnp.asarray(RANDOM.normal(size=(6, 1, 1, 2))), jnp.asarray(RANDOM.normal(size=(16, 1, 1, 2)))
    keys = jax.random.split(jax.random.key(0), 16)
    rows = lambda x: x.reshape(8, 2, *x.shape[1:])
    spread = jax.pmap(partial(remember, gather=gathering), axis_name="batch", in_axes=(None, None, 0, 0))
    for count in (0, 3, 6):
        shown, after = remember(history, jnp.int32(count), made, keys, alone)
        found, each = spread(history, jnp.int32(count), rows(made), rows(keys))
        np.testing.assert_array_equal(found.reshape(16, 1, 1, 2), shown)
        for one in each:
            np.testing.assert_array_equal(one, after)


def test_cycles_close():
    """Forty steps on stripes: the cycle loss of both ways falls below a half of that at the start."""
    stripes = np.sign(np.sin(np.arange(8) * np.pi / 2 + 0.5))
    lying = np.broadcast_to(stripes[:, None, None], (8, 8, 3)) * RANDOM.uniform(0.3, 1, (16, 1, 1, 3))
    examples = {"image": jnp.asarray(lying, jnp.float32), "other": jnp.asarray(lying.swapaxes(1, 2), jnp.float32)}
    networks = {name: Generator(shape=(8, 8, 3), width=8, blocks=1) for name in ("to_other", "to_image")}
    networks |= {name: Discriminator(width=8, layers=1) for name in ("discriminator_other", "discriminator_image")}
    task = translation(networks, gather=alone, history=8)
    adam = {name: lambda step, hyper: optax.with_extra_args_support(optax.adam(2e-3, b1=0.5)) for name in task.names}
    hyper = {"key": jax.random.key_data(jax.random.key(0)), **HYPER}
    hyper |= {section: {name: {} for name in task.names} for section in ("optimizer", "schedule")}
    ids = jnp.arange(4, dtype=jnp.int32)
    feed = lambda step: {"id": (ids + 4 * step) % 16, "id/other": (ids + 4 * step + 7) % 16}
    rows = lambda feed: {"image": examples["image"][feed["id"]], "other": examples["other"][feed["id/other"]], **feed}
    state = init_state(task, adam, jax.random.key(0), rows(feed(0)), hyper)
    step = jax.jit(make_train_step(task, adam, lambda batch, key: batch))
    cycles = []
    for i in range(40):
        state, report = step(state, {}, rows(feed(i)), {}, hyper)
        cycles.append(float(report["generators/cycle"]))
    assert all(np.isfinite(x) for x in report.values())
    assert np.mean(cycles[-5:]) < 0.5 * cycles[0]
    buffers = state.stats["discriminators"]["buffers"]
    assert buffers["count"] == 8 and np.all(np.abs(buffers["other"]).max((1, 2, 3)) > 0)


def test_bad_pages_are_one_clear_line():
    networks = affine()
    del networks["discriminator_image"]
    with pytest.raises(TrainingError, match=r"needs model\.discriminator_image"):
        translation(networks, gather=alone)
    with pytest.raises(TrainingError, match=r"task\.history=0"):
        translation(affine(), gather=alone, history=0)
    counting = affine() | {"to_other": Counting()}
    with pytest.raises(TrainingError, match=r"model\.to_other: task 'translation' takes no network with batch_stats"):
        translation(counting, gather=alone).init(jax.random.key(0), batch())
