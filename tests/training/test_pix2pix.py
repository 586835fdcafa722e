"""pix2pix: the losses by hand, whose gradient moves whom, and tests that do not depend on the batch."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from models.generative.pix2pix import Generator
from training.errors import TrainingError
from training.step import init_state, make_train_step
from training.tasks.pix2pix import pix2pix

RANDOM = np.random.RandomState(0)


class Affine(nn.Module):
    """A generator of two numbers."""

    @nn.compact
    def __call__(self, x, train):
        scale = self.param("scale", nn.initializers.normal(1.0), ())
        return scale * x + self.param("offset", nn.initializers.normal(1.0), ())


class Scores(nn.Module):
    """A discriminator of six numbers, with two scores for a pair."""

    @nn.compact
    def __call__(self, x, train):
        scale = self.param("scale", nn.initializers.normal(1.0), (6,))
        return (scale * jnp.stack([x.mean((1, 2)), x[:, 0, 0]], axis=1)).sum(-1)


def batch(count=4, size=2):
    draw = lambda: jnp.asarray(RANDOM.uniform(-1, 1, (count, size, size, 3)), jnp.float32)
    return {"image": draw(), "target": draw(), "id": jnp.arange(count, dtype=jnp.int32)}


HYPER = {"task": {"reconstruction": 100.0}}
BATCH = batch()


def test_losses_are_those_of_the_paper():
    task = pix2pix({"generator": Affine(), "discriminator": Scores()})
    params, stats = task.init(jax.random.key(0), BATCH)
    g, d = params["generator"], np.asarray(params["discriminator"]["scale"])
    x, y = np.asarray(BATCH["image"]), np.asarray(BATCH["target"])
    made = np.asarray(g["scale"]) * x + np.asarray(g["offset"])
    sigmoid = lambda s: 1 / (1 + np.exp(-s))

    def score(y):
        pair = np.concatenate([x, y], -1)
        return np.stack([pair.mean((1, 2)), pair[:, 0, 0]], 1) @ d

    expected = {
        "discriminator": -0.5 * (np.log(sigmoid(score(y))) + np.log(1 - sigmoid(score(made)))).mean(1),
        "generator": -np.log(sigmoid(score(made))).mean(1) + 100 * np.abs(made - y).mean((1, 2, 3)),
    }
    for player, values in expected.items():
        total, weight, (moved, _) = task.loss(player, params, stats, BATCH, jax.random.key(1), {}, HYPER)
        np.testing.assert_allclose(total, values.sum(), rtol=1e-4)
        assert weight == 4 and moved == {player: {}}
    outputs = task.predict(params, stats, BATCH, jax.random.key(0), {})
    np.testing.assert_allclose(outputs["translated"], made, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs["l1"], np.abs(made - y).mean((1, 2, 3)), rtol=1e-4)


def test_each_player_moves_by_its_own_loss_alone():
    """The discriminator does not descend the reconstruction, and each gradient is that of its player's loss."""
    task = pix2pix({"generator": Affine(), "discriminator": Scores()})
    sgd = {name: lambda step, hyper: optax.with_extra_args_support(optax.sgd(0.1)) for name in task.names}
    sections = {section: {name: {} for name in task.names} for section in ("optimizer", "schedule")}
    changes = []
    for weight in (0.0, 100.0):
        hyper = {"key": jax.random.key_data(jax.random.key(7)), "task": {"reconstruction": weight}, **sections}
        state = init_state(task, sgd, jax.random.key(0), BATCH, hyper)
        new, _ = make_train_step(task, sgd, lambda batch, key: batch)(state, {}, BATCH, {}, hyper)
        changes.append(jax.tree.map(lambda a, b: np.asarray(b - a), state.params, new.params))
        params, stats = state.params, state.stats
        for player in task.players:

            def loss(own, player=player, params=params, stats=stats, hyper=hyper):
                return task.loss(player, {**params, player: own}, stats, BATCH, jax.random.key(1), {}, hyper)[0]

            gradient = jax.grad(loss)(params[player])
            moved = jax.tree.map(lambda p, g: p - 0.1 * g / 4, params[player], gradient)
            params = {**params, player: moved}  # the generator sees the discriminator that has moved
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), new.params, params)
    np.testing.assert_array_equal(changes[0]["discriminator"]["scale"], changes[1]["discriminator"]["scale"])
    assert abs(changes[0]["generator"]["scale"] - changes[1]["generator"]["scale"]) > 0.01


def test_a_test_depends_on_the_example_alone_and_draws_dropout():
    task = pix2pix({"generator": Generator(width=2, depth=3), "discriminator": Scores()})
    examples = batch(size=8)
    params, stats = task.init(jax.random.key(0), examples)
    predict = jax.jit(lambda batch, key: task.predict(params, stats, batch, key, {})["translated"])
    together = predict(examples, jax.random.key(3))
    backwards = predict({name: x[::-1] for name, x in examples.items()}, jax.random.key(3))
    np.testing.assert_allclose(together, backwards[::-1], rtol=1e-4, atol=1e-6)
    assert not np.allclose(together, predict(examples, jax.random.key(4)), atol=1e-4)
    drawn = task.makes.draw(params, stats, jax.random.key(3), {"image": examples["image"], "id": examples["id"]}, {})
    np.testing.assert_allclose(drawn["image"], together, rtol=1e-4, atol=1e-6)


def test_bad_networks_and_data_are_one_clear_line():
    with pytest.raises(TrainingError, match=r"needs model.discriminator; the page has generator"):
        pix2pix({"generator": Affine()})
    task = pix2pix({"generator": Affine(), "discriminator": Scores()})
    with pytest.raises(TrainingError, match=r"one shape, not 2×2×3 and 2×2×1"):
        task.init(jax.random.key(0), {**BATCH, "target": BATCH["target"][..., :1]})
    assert task.needs == ("target",)  # unpaired folders have none, and are refused by the builder
