"""Tasks of more than one kind go through the one step: a GAN on digits, and a picture that is its own parameter.

Both are written here as a user would write them, and with nothing but `Task`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data.digits import digits
from data.pipeline import Feed
from training.step import init_state, make_train_step
from training.task import Task, example_keys

KEY = np.array([0, 7], np.uint32)


class Generator(nn.Module):
    @nn.compact
    def __call__(self, z, train: bool):
        """z: [B, 8] -> [B, 8, 8, 1] in (0, 1)."""
        z = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Dense(64)(z)))
        return nn.sigmoid(nn.Dense(64)(z)).reshape(-1, 8, 8, 1)


class Critic(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        """x: [B, 8, 8, 1] -> [B], the logit of being real."""
        return nn.Dense(1)(nn.leaky_relu(nn.Dense(64)(x.reshape(len(x), -1)), 0.2))[:, 0]


def gan(players=("critic", "generator"), fresh=True) -> Task:
    """Goodfellow et al. 2014, with the generator's non-saturating loss −log D(G(z))."""
    networks = {"critic": Critic(), "generator": Generator()}

    def init(key, batch):
        inputs = {"critic": batch["image"][:1], "generator": jnp.zeros((1, 8))}
        params, stats = {}, {}
        for i, (name, network) in enumerate(networks.items()):
            variables = network.init(jax.random.fold_in(key, i), inputs[name], train=False)
            params[name], stats[name] = variables.pop("params"), variables
        return params, stats

    def loss(player, params, stats, batch, key, frozen, hyper):
        judge = lambda x: networks["critic"].apply({"params": params["critic"]}, x, True)
        z = jax.vmap(lambda k: jax.random.normal(k, (8,)))(example_keys(key, batch))
        variables = {"params": params["generator"], **stats["generator"]}
        fake, moved = networks["generator"].apply(variables, z, True, mutable=["batch_stats"])
        if player == "critic":
            values, own = nn.softplus(-judge(batch["image"])) + nn.softplus(judge(fake)), {}
        else:
            values, own = nn.softplus(-judge(fake)), moved
        return values.sum(), jnp.float32(len(values)), ({player: own}, {"noise": z[:, 0].sum()})

    return Task(players=players, init=init, loss=loss, predict=None, fresh=fresh)


def adam(step, hyper):
    return optax.with_extra_args_support(optax.adam(hyper["optimizer"]["rate"], b1=0.5))


def sgd(step, hyper):
    return optax.with_extra_args_support(optax.sgd(hyper["optimizer"]["rate"]))


def hyper_of(*players, rate):
    rates = {player: {"rate": np.float32(rate)} for player in players}
    return {"optimizer": rates, "schedule": {player: {} for player in players}, "task": {}, "key": KEY}


def unit(batch, key):
    return {**batch, "image": batch["image"] / jnp.float32(255)}


def feeds(steps, updates, size=32):
    """[updates, batch, ...] feeds, as the builder stacks them for tasks whose updates are fresh."""
    feed = Feed(digits("", "train"), size, seed=3)
    for step in range(steps):
        group = [feed[step * updates + u] for u in range(updates)]
        yield jax.tree.map(lambda *x: np.stack(x), *group)


@pytest.fixture(scope="module")
def start():
    """A GAN's first state, with SGD."""
    example = jax.tree.map(lambda x: x[0], next(feeds(1, 1)))
    hyper = hyper_of("critic", "generator", rate=0.1)
    return init_state(gan(), dict.fromkeys(("critic", "generator"), sgd), jax.random.key(0), unit(example, None), hyper)


def one_step(task, state, feed, augment=unit):
    optimizers = dict.fromkeys(task.names, sgd)
    return jax.jit(make_train_step(task, optimizers, augment))(
        state, {}, feed, {}, hyper_of("critic", "generator", rate=0.1)
    )


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_a_player_moves_by_its_own_loss_alone(start):
    """A step of one player alone leaves the other as it was: its parameters, its statistics, its optimizer."""
    state = start
    (feed,) = feeds(1, 1)
    critic, _ = one_step(gan(("critic",)), _only(state, "critic"), feed)
    assert not same(critic.params["critic"], state.params["critic"])
    assert same(critic.params["generator"], state.params["generator"])
    assert same(critic.stats, state.stats)
    generator, _ = one_step(gan(("generator",)), _only(state, "generator"), feed)
    assert same(generator.params["critic"], state.params["critic"])
    assert not same(generator.params["generator"], state.params["generator"])
    assert not same(generator.stats["generator"], state.stats["generator"])


def _only(state, player):
    return state.replace(opt_state={player: state.opt_state[player]})


def test_players_descend_in_order_each_with_the_gradient_of_its_own_loss(start):
    """Worked out by hand: the generator's gradient is taken at the critic's new parameters."""
    state, task = start, gan()
    (feed,) = feeds(1, 2)
    new, report = one_step(task, state, feed)

    recorded = []

    def spy(player, params, stats, batch, key, frozen, hyper):
        recorded.append((player, params, stats, batch, key))
        return task.loss(player, params, stats, batch, key, frozen, hyper)

    with jax.disable_jit():
        make_train_step(_with_loss(task, spy), dict.fromkeys(task.names, sgd), unit)(
            state, {}, feed, {}, hyper_of("critic", "generator", rate=0.1)
        )
    (player0, _, stats0, batch0, key0), (player1, _, stats1, batch1, key1) = recorded
    assert (player0, player1) == ("critic", "generator")

    def mean(own, player, params, stats, batch, key):
        value, weight, _ = task.loss(player, {**params, player: own}, stats, batch, key, {}, {})
        return value / weight

    descend = lambda p, g: p - 0.1 * g
    loss0, grad0 = jax.value_and_grad(mean)(state.params["critic"], "critic", state.params, stats0, batch0, key0)
    critic = jax.tree.map(descend, state.params["critic"], grad0)
    params = {**state.params, "critic": critic}
    loss1, grad1 = jax.value_and_grad(mean)(state.params["generator"], "generator", params, stats1, batch1, key1)
    expected = {"critic": critic, "generator": jax.tree.map(descend, state.params["generator"], grad1)}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), new.params, expected)
    np.testing.assert_allclose([report["critic/loss"], report["generator/loss"]], [loss0, loss1], rtol=1e-5)


def _with_loss(task, loss):
    return Task(task.players, task.init, loss, task.predict, fresh=task.fresh)


@pytest.mark.parametrize("fresh", [True, False])
def test_updates_see_fresh_batches_and_fresh_noise(start, fresh):
    """Five updates of the critic: each its own batch where the task says so, and in any case its own noise."""
    seen = []

    def watch(task):
        def loss(player, params, stats, batch, key, frozen, hyper):
            value, weight, (moved, metrics) = task.loss(player, params, stats, batch, key, frozen, hyper)
            jax.debug.callback(lambda *x: seen.append([np.array(y) for y in x]), batch["id"], metrics["noise"])
            return value, weight, (moved, metrics)

        return _with_loss(task, loss)

    players = ("critic",) * 5 + ("generator",)
    (feed,) = feeds(1, 6 if fresh else 1)
    feed = feed if fresh else jax.tree.map(lambda x: x[0], feed)
    one_step(watch(gan(players, fresh)), start, feed)
    jax.effects_barrier()
    assert len(seen) == 6
    assert len({tuple(ids) for ids, _ in seen}) == (6 if fresh else 1)
    assert len({float(noise) for _, noise in seen}) == 6


def test_the_gan_learns_digits():
    """After training, the generator's pictures have the digits' mean picture; before, they have not."""
    task, steps = gan(("critic", "generator")), 400
    optimizers, hyper = dict.fromkeys(task.names, adam), hyper_of("critic", "generator", rate=2e-3)
    example = unit(jax.tree.map(lambda x: x[0], next(feeds(1, 1))), None)
    state = init_state(task, optimizers, jax.random.key(0), example, hyper)
    step = jax.jit(make_train_step(task, optimizers, unit))
    images = digits("", "train").arrays["image"] / 255
    z = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)

    def distance(state):
        variables = {"params": state.params["generator"], **state.stats["generator"]}
        made = Generator().apply(variables, z, False)
        return float(np.abs(np.asarray(made).mean(0) - images.mean(0)).mean())

    before = distance(state)
    for feed in feeds(steps, 2):
        state, report = step(state, {}, feed, {}, hyper)
    assert np.isfinite(report["critic/loss"])
    assert distance(state) < 0.4 * before


def painting(target: np.ndarray) -> tuple[Task, dict]:
    """A task and its frozen network: the pixels of one picture are to have the features of the target.

    Gatys et al. 2016 in small.
    """
    network = nn.Sequential([nn.Conv(16, (3, 3)), nn.relu, nn.Conv(16, (3, 3))])

    def init(key, batch):
        return {"model": {"pixels": jnp.full(target.shape, 0.5)}}, {"model": {}}

    def frozen():
        return network.init(jax.random.key(5), target)

    def loss(player, params, stats, batch, key, frozen, hyper):
        gap = network.apply(frozen, params["model"]["pixels"]) - network.apply(frozen, target)
        return (gap**2).sum(), jnp.float32(gap.size), ({"model": {}}, {})

    predict = lambda params, stats, batch, key, frozen: {"image": params["model"]["pixels"]}
    return Task(players=("model",), init=init, loss=loss, predict=predict), frozen()


def test_a_picture_learns_its_own_pixels_and_the_frozen_network_does_not_move():
    target = (digits("", "train").arrays["image"][:1] / 255).astype(np.float32)
    (task, frozen), hyper = painting(target), hyper_of("model", rate=0.05)
    feed = {"id": np.arange(1, dtype=np.int32)}
    state = init_state(task, {"model": adam}, jax.random.key(0), feed, hyper)
    assert jax.tree.map(lambda x: x.shape, state.params) == {"model": {"pixels": (1, 8, 8, 1)}}
    step = jax.jit(make_train_step(task, {"model": adam}, lambda batch, key: batch))
    before = jax.tree.map(np.array, frozen)
    first = None
    for _ in range(300):
        state, report = step(state, {}, feed, frozen, hyper)
        first = first if first is not None else float(report["loss"])
    assert float(report["loss"]) < 1e-3 * first
    np.testing.assert_allclose(state.params["model"]["pixels"], target, atol=0.1)
    assert same(frozen, before)
