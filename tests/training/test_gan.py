"""The two players: losses and penalty against closed forms, and who moves what."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from models.generative import dcgan
from models.generative import gan as networks
from training.errors import TrainingError
from training.step import init_state, make_train_step
from training.task import stream
from training.tasks.gan import LOSSES, gan, penalty

RANDOM = np.random.default_rng(0)
BATCH = {
    "image": jnp.asarray(RANDOM.normal(size=(6, 1, 1, 2)), jnp.float32),
    "label": jnp.arange(6, dtype=jnp.int32) % 3,
    "id": jnp.arange(6, dtype=jnp.int32),
}


def pair(adversary="critic", **fields):
    generator = networks.Generator(shape=(1, 1, 2), hidden=(5,), num_classes=3, **fields)
    return {"generator": generator, adversary: networks.Discriminator(hidden=(5,), num_classes=3, **fields)}


def play(task, player, params, stats, key=0, batch=BATCH, hyper=None):
    numbers = {"gradient_penalty": 10.0} | (hyper or {})
    return task.loss(player, params, stats, batch, jax.random.key(key), {}, {"task": numbers})


def test_losses():
    real, fake = RANDOM.normal(size=(2, 50))
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    expected = {
        "non_saturating": (-np.log(sigmoid(real)) - np.log(1 - sigmoid(fake)), -np.log(sigmoid(fake))),
        "hinge": (np.maximum(0, 1 - real) + np.maximum(0, 1 + fake), -fake),
        "wasserstein": (fake - real, -fake),
        "least_squares": (((1 - real) ** 2 + fake**2) / 2, (1 - fake) ** 2 / 2),
    }
    for name, (adversary, generator) in LOSSES.items():
        np.testing.assert_allclose(adversary(real, fake), expected[name][0], rtol=1e-5)
        np.testing.assert_allclose(generator(fake), expected[name][1], rtol=1e-5)


def test_penalty_of_a_linear_critic():
    w = jnp.asarray(RANDOM.normal(size=(3, 2, 1)))
    score = lambda x, w=w: jnp.einsum("bhwc,hwc->b", x, w)
    x = jnp.asarray(RANDOM.normal(size=(4, 3, 2, 1)))
    norm = np.linalg.norm(w)
    np.testing.assert_allclose(penalty(score, x), np.full(4, (norm - 1) ** 2), rtol=1e-5)
    # Differentiated through: d/dw (|w| − 1)² = 2 (|w| − 1) w/|w|.
    gradient = jax.grad(lambda w: penalty(lambda x: score(x, w), x).mean())(w)
    np.testing.assert_allclose(gradient, 2 * (norm - 1) * w / norm, rtol=1e-5)
    flat = jax.grad(lambda w: penalty(lambda x: score(x, w), x).mean())(jnp.zeros_like(w))
    assert np.isfinite(flat).all()


def test_penalty_is_of_each_example():
    """A critic of slope |x|, so that the norm of a batch is not the norm of an example."""
    x = jnp.asarray(RANDOM.normal(size=(5, 2, 2, 1)))
    slopes = np.linalg.norm(np.asarray(x).reshape(5, 4), axis=1)
    np.testing.assert_allclose(penalty(lambda x: 0.5 * (x**2).sum((1, 2, 3)), x), (slopes - 1) ** 2, rtol=1e-4)


def test_penalty_counts_lambda_times():
    task = gan(pair(), loss="wasserstein", gradient_penalty=10.0)
    params, stats = task.init(jax.random.key(0), BATCH)
    plain = gan(pair(), loss="wasserstein")
    value, _, (_, sums) = play(task, "critic", params, stats)
    without, *_ = play(plain, "critic", params, stats)
    np.testing.assert_allclose(value, without + 10 * sums["penalty"], rtol=1e-5)
    np.testing.assert_allclose(without, sums["fake"] - sums["real"], rtol=1e-5)
    twice, *_ = play(task, "critic", params, stats, hyper={"gradient_penalty": 20.0})
    np.testing.assert_allclose(twice, without + 20 * sums["penalty"], rtol=1e-5)


@pytest.mark.parametrize("conditional", [False, True])
def test_each_player_descends_its_own_loss(conditional):
    """One step, by hand: the adversary against the old generator, then the generator against the new adversary."""
    task = gan(pair("discriminator", conditional=conditional))
    sgd = {name: lambda step, hyper: optax.with_extra_args_support(optax.sgd(0.1)) for name in task.names}
    hyper = {"key": jax.random.key_data(jax.random.key(7)), "task": {"gradient_penalty": 10.0}}
    hyper |= {section: {name: {} for name in task.names} for section in ("optimizer", "schedule")}
    state = init_state(task, sgd, jax.random.key(0), BATCH, hyper)
    feed = jax.tree.map(lambda x: jnp.stack([x, x[::-1] + 1]), BATCH)
    seen = []

    def augment(batch, key):
        seen.append(batch)
        return batch

    new, metrics = make_train_step(task, sgd, augment)(state, {}, feed, {}, hyper)

    params = state.params
    for update, player in enumerate(task.players):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(7), 0), update)
        noise = jax.random.fold_in(stream(jax.random.fold_in(key, update), "loss"), 0)
        batch = jax.tree.map(lambda x, update=update: x[update], feed)
        np.testing.assert_array_equal(seen[update]["image"], batch["image"])  # each update its own batch
        objective = lambda own, player=player, params=params, batch=batch, noise=noise: (
            task.loss(player, {**params, player: own}, state.stats, batch, noise, {}, hyper)[0] / 6
        )
        gradient = jax.grad(objective)(params[player])
        params = {**params, player: jax.tree.map(lambda p, g: p - 0.1 * g, params[player], gradient)}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), new.params, params)
    assert {"discriminator/loss", "generator/loss", "discriminator/real"} <= metrics.keys()


def test_updates_see_fresh_noise():
    task = gan(pair(), loss="wasserstein", updates=5, gradient_penalty=1.0)
    assert task.players == ("critic",) * 5 + ("generator",) and task.fresh
    params, stats = task.init(jax.random.key(0), BATCH)
    values = [float(play(task, "critic", params, stats, key=key)[0]) for key in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_noise_follows_the_example():
    task = gan(pair(conditional=True), loss="wasserstein", gradient_penalty=1.0)
    params, stats = task.init(jax.random.key(0), BATCH)
    backwards = {name: x[::-1] for name, x in BATCH.items()}
    for player in ("critic", "generator"):
        np.testing.assert_allclose(
            play(task, player, params, stats)[0], play(task, player, params, stats, batch=backwards)[0], rtol=1e-5
        )


def test_statistics_move_in_their_players_own_updates():
    """And the discriminator normalises data and samples apart."""
    images = {**BATCH, "image": jnp.asarray(RANDOM.normal(size=(6, 8, 8, 1)), jnp.float32)}

    class Discriminator(nn.Module):
        conditions: tuple[str, ...] = ()

        @nn.compact
        def __call__(self, x, train):
            x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
            return x.mean((1, 2, 3))

    task = gan({"generator": dcgan.Generator(shape=(8, 8, 1), width=2), "discriminator": Discriminator()})
    params, stats = task.init(jax.random.key(0), images)
    _, _, (moved, sums) = play(task, "discriminator", params, stats, batch=images)
    assert set(moved) == {"discriminator"}
    np.testing.assert_allclose([sums["real"], sums["fake"]], 0, atol=1e-4)  # each batch is centred by itself
    mean = moved["discriminator"]["batch_stats"]["BatchNorm_0"]["mean"]
    assert abs(mean[0] - 0.25 * images["image"].mean()) < 0.3  # half of half real, then half fake
    _, _, (moved, _) = play(task, "generator", params, stats, batch=images)
    assert set(moved) == {"generator"}
    old, new = (jax.tree.leaves(s["generator"]) for s in (stats, moved))
    assert any(np.any(a != b) for a, b in zip(old, new, strict=True))


def test_samples_of_a_class():
    task = gan(pair(conditional=True))
    params, stats = task.init(jax.random.key(0), BATCH)
    ids = jnp.arange(6, dtype=jnp.int32)
    sample = lambda **more: task.makes.draw(params, stats, jax.random.key(0), {"id": ids, **more}, {})["array"]
    in_turn, ones = sample(), sample(label=jnp.ones(6, jnp.int32))
    assert in_turn.shape == (6, 1, 1, 2)
    same = np.isclose(in_turn, ones).all((1, 2, 3))
    np.testing.assert_array_equal(same, ids % 3 == 1)
    free = gan(pair())
    assert set(task.makes.given) == {"label", "latent"} and set(free.makes.given) == {"latent"}
    with pytest.raises(TrainingError, match="not conditional"):
        free.makes.draw(*free.init(jax.random.key(0), BATCH), jax.random.key(0), {"id": ids, "label": ids}, {})


@pytest.mark.parametrize(
    ("members", "keys", "message"),
    [
        ({"generator": networks.Generator()}, {}, "needs the networks generator and discriminator"),
        (
            {"generator": networks.Discriminator(), "critic": networks.Discriminator()},
            {},
            "model.generator: Discriminator is not a network for a GAN",
        ),
        (pair(), dict(loss="hing"), "did you mean 'hinge'"),
        (pair(), dict(prior="gauss"), "task.prior='gauss' is unknown"),
        (pair(), dict(updates=0), "needs at least one"),
        (pair() | {"critic": networks.Discriminator(conditional=True)}, {}, "or neither"),
    ],
)
def test_bad_pages_are_one_clear_line(members, keys, message):
    with pytest.raises(TrainingError, match=message):
        gan(members, **keys)


def test_penalty_wants_a_critic_without_statistics():
    members = {"generator": dcgan.Generator(shape=(16, 16, 1), width=2), "critic": dcgan.Discriminator(width=2)}
    images = {**BATCH, "image": jnp.zeros((6, 16, 16, 1))}
    with pytest.raises(TrainingError, match="critic without batch_stats"):
        jax.eval_shape(gan(members, gradient_penalty=1.0).init, jax.random.key(0), images)
    with pytest.raises(TrainingError, match=r"the generator makes \(1, 1, 2\), but images are \(16, 16, 1\)"):
        jax.eval_shape(gan(pair()).init, jax.random.key(0), images)
