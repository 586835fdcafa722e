"""The train step against what it must equal: itself cut up differently, and formulas worked out by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from training.parallel import MeshDevices, Replicas
from training.step import COUNTED, ema_of, fetch, init_state, make_train_step, several_steps
from training.task import Task
from training.tasks.classification import classification

HYPER = {
    "optimizer": {"model": {}},
    "schedule": {"model": {}},
    "task": {"label_smoothing": 0.0},
    "key": np.array([0, 7], np.uint32),
}


class Network(nn.Module):
    """A small network without batch statistics."""

    num_classes: int = 10
    param_dtype: type = jnp.float64

    @nn.compact
    def __call__(self, x, train: bool):
        dense = lambda n: nn.Dense(n, dtype=self.param_dtype, param_dtype=self.param_dtype)
        return dense(self.num_classes)(nn.tanh(dense(16)(x.reshape(len(x), -1))))


def momentum(step, hyper):
    return optax.with_extra_args_support(optax.sgd(0.1, momentum=0.9))


def noise(batch, key):
    """Augmentation whose draws belong to the examples."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, batch["id"])
    draws = jax.vmap(lambda k: jax.random.normal(k, batch["image"].shape[1:], batch["image"].dtype))(keys)
    return {**batch, "image": batch["image"] + 0.1 * draws}


def batch(step: int, size: int = 16) -> dict:
    """A third of it has no label."""
    draw = np.random.default_rng(step)
    label = draw.integers(0, 10, size).astype(np.int32)
    label[::3] = -1
    ids = np.arange(step * size, (step + 1) * size, dtype=np.int32)
    return {"image": draw.normal(size=(size, 4, 4, 1)), "label": label, "id": ids}


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def train(step, state, feeds):
    reports = []
    for feed in feeds:
        state, report = step(state, {}, feed, {}, HYPER)
        reports.append(report)
    return state, reports


def start(task, ema=()):
    return init_state(task, {"model": momentum}, jax.random.key(1), batch(0), HYPER, ema)


def assert_close(a, b, tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=tolerance), a, b)


def test_accumulation_is_the_same_step(x64):
    task = classification({"model": Network()})
    runs = {}
    for accumulate in (1, 2, 4):
        step = jax.jit(make_train_step(task, {"model": momentum}, noise, accumulate=accumulate))
        runs[accumulate] = train(step, start(task), [batch(i) for i in range(5)])
    for run in runs.values():
        assert_close(run, runs[1], 1e-12)


def test_several_steps_in_a_call_are_the_same_steps():
    task = classification({"model": Network(param_dtype=jnp.float32)})
    step = make_train_step(task, {"model": momentum}, noise)
    feeds = [jax.tree.map(lambda x: np.float32(x) if x.dtype == np.float64 else x, batch(i)) for i in range(10)]
    expected, reports = train(jax.jit(step), start(task), feeds)
    stacked = [jax.tree.map(lambda *x: np.stack(x), *feeds[i : i + 5]) for i in (0, 5)]
    state, found = train(jax.jit(several_steps(step)), start(task), stacked)
    assert int(state.step) == 10
    assert_close(state, expected, 1e-5)
    losses = np.concatenate([r["loss"] for r in found])
    np.testing.assert_allclose(losses, [r["loss"] for r in reports], atol=1e-5)


def test_the_loss_is_the_mean_over_what_has_a_label(x64):
    """Whatever is ignored: one example or all but one. And the gradient is that of this mean."""
    task = classification({"model": Network()})
    feed = batch(0)
    feed["label"] = np.where(np.arange(16) == 5, 3, -1).astype(np.int32)
    state = start(task)
    identity = lambda batch, key: batch
    new, report = jax.jit(make_train_step(task, {"model": momentum}, identity))(state, {}, feed, {}, HYPER)

    def loss(params):
        return -jax.nn.log_softmax(Network().apply({"params": params}, feed["image"][5:6], True))[0, 3]

    value, grad = jax.value_and_grad(loss)(state.params["model"])
    assert_close(report["loss"], value, 1e-12)
    assert_close(new.params["model"], jax.tree.map(lambda p, g: p - 0.1 * g, state.params["model"], grad), 1e-12)
    assert_close(report["gradient_norm"], optax.tree.norm(grad), 1e-12)
    assert_close(report["update_norm"], 0.1 * optax.tree.norm(grad), 1e-12)


def test_a_batch_without_any_label_changes_nothing(x64):
    task = classification({"model": Network()})
    feed = {**batch(0), "label": np.full(16, -1, np.int32)}
    state, report = jax.jit(make_train_step(task, {"model": momentum}, noise))(start(task), {}, feed, {}, HYPER)
    assert not report[COUNTED] and float(report["loss"]) == float(report["gradient_norm"]) == 0
    assert_close(state.params, start(task).params, 0)


@pytest.mark.parametrize("accumulate", (1, 2))
def test_one_label_makes_a_batch_count(accumulate):
    task = classification({"model": Network(param_dtype=jnp.float32)})
    feed = {**batch(0), "label": np.where(np.arange(16) == 5, 3, -1).astype(np.int32)}
    step = jax.jit(make_train_step(task, {"model": momentum}, noise, accumulate=accumulate))
    assert step(start(task), {}, feed, {}, HYPER)[1][COUNTED]


def test_a_plateau_skips_batches_without_any_label():
    task = classification({"model": Network(param_dtype=jnp.float32)})
    plateau = {"model": lambda step, hyper: optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(patience=2))}
    step = jax.jit(make_train_step(task, plateau, lambda b, k: b))
    void = {**batch(0), "label": np.full(16, -1, np.int32)}
    state = init_state(task, plateau, jax.random.key(1), void, HYPER)
    state, report = step(state, {}, batch(0), {}, HYPER)
    after, _ = step(state, {}, void, {}, HYPER)
    (_, before), (_, kept) = state.opt_state["model"], after.opt_state["model"]
    assert float(before.best_value) == float(report["loss"]) > 0
    assert_close(kept, before, 0)


def test_a_line_search_on_a_batch_without_any_label_stays_where_it_is():
    task = classification({"model": Network(param_dtype=jnp.float32)})
    lbfgs = {"model": lambda step, hyper: optax.lbfgs()}
    feed = {**batch(0), "label": np.full(16, -1, np.int32)}
    state = init_state(task, lbfgs, jax.random.key(1), feed, HYPER)
    new, report = jax.jit(make_train_step(task, lbfgs, lambda b, k: b))(state, {}, feed, {}, HYPER)
    assert not report[COUNTED]
    assert_close(new.params, state.params, 0)


def test_devices_are_the_same_step_in_both_placements(x64):
    """Eight CPU devices against plain `jit`, labels unevenly spread, accumulation on."""
    task = classification({"model": Network()})
    make = lambda axis: make_train_step(task, {"model": momentum}, noise, accumulate=2, axis_name=axis)
    feeds = [batch(i, 32) for i in range(3)]
    expected = train(jax.jit(make(None)), start(task), feeds)
    mesh = jax.make_mesh((2, 4), ("data", "fsdp"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    for devices in (Replicas(), MeshDevices(mesh)):
        host = jax.tree.map(np.array, start(task))
        state = devices.put_state(host)
        step = devices.train_step(make(devices.axis_name), state)
        resident, frozen, hyper = devices.put({}), devices.put({}), devices.put(HYPER)
        reports = []
        for feed in feeds:
            state, report = step(state, resident, devices.put_batch(feed), frozen, hyper)
            reports.append(devices.get(report))
        assert_close((devices.get(state), reports), expected, 1e-12)


def test_a_line_search_sees_the_global_loss_on_every_device(x64):
    """L-BFGS asks for the loss and its gradient at other points: eight devices must be told the same."""
    task, feed = classification({"model": Network()}), batch(0, 32)
    lbfgs = {"model": lambda step, hyper: optax.lbfgs()}
    make = lambda axis: make_train_step(task, lbfgs, noise, axis_name=axis)
    initial = jax.jit(lambda: init_state(task, lbfgs, jax.random.key(1), feed, HYPER))()
    expected, _ = train(jax.jit(make(None)), initial, [feed] * 3)
    devices = Replicas()
    state = devices.put_state(jax.tree.map(np.array, initial))
    step = devices.train_step(make(devices.axis_name), state)
    arguments = devices.put({}), devices.put_batch(feed), devices.put({}), devices.put(HYPER)
    for _ in range(3):
        state, _ = step(state, *arguments)
    assert_close(devices.get(state.params), expected.params, 1e-9)


def test_noise_belongs_to_the_step_and_the_root_key(x64):
    task = classification({"model": Network()})
    seen = []

    def spy(batch, key):
        seen.append(jax.random.key_data(key))
        return batch

    step = make_train_step(task, {"model": momentum}, spy)
    with jax.disable_jit():
        train(step, start(task), [batch(0)] * 3)
        step(start(task), {}, batch(0), {}, {**HYPER, "key": np.array([0, 8], np.uint32)})
        step(start(task), {}, batch(0), {}, HYPER)
    first, second, third, other_root, again = (tuple(np.array(k).tolist()) for k in seen)
    assert len({first, second, third, other_root}) == 4
    assert again == first


def counting(players=("model",)) -> Task:
    """Its gradient is 1 everywhere: after t steps of SGD at rate 1 its parameter is −t."""

    def init(key, batch):
        return {"model": {"w": jnp.zeros(3)}}, {"model": {}}

    def loss(player, params, stats, batch, key, frozen, hyper):
        weight = jnp.ones(len(batch["id"]))
        return (weight * params["model"]["w"].sum()).sum(), weight.sum(), ({"model": {}}, {})

    return Task(players=players, init=init, loss=loss, predict=None)


def test_the_moving_average_warms_up_as_the_formula_says():
    """e ← e + (1 − d)(w − e) with d = min(decay, (1 + t)/(10 + t)), and w = −(t + 1) after step t."""
    plain = lambda step, hyper: optax.with_extra_args_support(optax.sgd(1.0))
    task = counting()
    step = jax.jit(make_train_step(task, {"model": plain}, lambda b, k: b, ema_decay=0.5))
    state = init_state(task, {"model": plain}, jax.random.key(0), batch(0), HYPER, ("model",))
    average = 0.0
    for t in range(20):
        state, _ = step(state, {}, batch(t), {}, HYPER)
        decay = min(0.5, (1 + t) / (10 + t))
        average = decay * average + (1 - decay) * -(t + 1)
        np.testing.assert_allclose(state.ema["model"]["w"], average, rtol=1e-5)
    np.testing.assert_allclose(state.params["model"]["w"], -20)


def test_the_moving_average_is_float32_of_bfloat16_parameters():
    assert ema_of({"w": jnp.ones(2, jnp.bfloat16)})["w"].dtype == jnp.float32


def test_a_resident_batch_is_the_streamed_batch():
    arrays = {"image": np.arange(40).reshape(10, 2, 2, 1).astype(np.uint8), "label": np.arange(10, dtype=np.int32)}
    ids = np.array([7, 0, 7, 3], np.int32)
    streamed = {"id": ids, **{k: v[ids] for k, v in arrays.items()}}
    resident = jax.jit(fetch)(arrays, {"id": ids})
    assert resident.keys() == streamed.keys()
    for name, x in streamed.items():
        assert x.dtype == resident[name].dtype
        np.testing.assert_array_equal(x, resident[name])
        np.testing.assert_array_equal(x, fetch({}, streamed)[name])


def test_each_group_is_gathered_by_its_own_ids():
    arrays = {
        "image": np.arange(10),
        "masks/fine": np.arange(10),
        "other": np.arange(50, 57),
        "other/map": np.arange(7),
    }
    batch = jax.jit(fetch)(arrays, {"id": np.array([9, 0]), "id/other": np.array([6, 1])})
    np.testing.assert_array_equal(batch["image"], [9, 0])
    np.testing.assert_array_equal(batch["masks/fine"], [9, 0])
    np.testing.assert_array_equal(batch["other"], [56, 51])
    np.testing.assert_array_equal(batch["other/map"], [6, 1])
    alone = fetch({"other": np.arange(50, 60)}, {"id": np.array([3])})  # a field that only has the name of a group
    np.testing.assert_array_equal(alone["other"], [53])


def pairs(gather) -> Task:
    """A loss over all pairs of the global batch, against a queue of embeddings of the batches before.

    `buffers` hold the queue, the newest rows first. `average` is averaged over devices as batch statistics are.
    """

    def embed(params, image):
        return jnp.tanh(image.reshape(len(image), -1) @ params["w"])

    def init(key, batch):
        w = jax.random.normal(key, (16, 3), jnp.float64)
        queue = jnp.zeros((48, 3), jnp.float64)
        return {"model": {"w": w}}, {"model": {"buffers": {"queue": queue}, "batch_stats": {"average": jnp.zeros(3)}}}

    def loss(player, params, stats, batch, key, frozen, hyper):
        x, ids = embed(params["model"], batch["image"]), batch["id"]
        everything, others = gather(x), gather(ids)
        queue = stats["model"]["buffers"]["queue"]
        distances = lambda a, b: jnp.square(a[:, None] - b[None]).sum(-1)
        counts = (ids[:, None] != others[None]) & (batch["label"] >= 0)[:, None]  # unevenly many on the devices
        values = counts * jnp.exp(-distances(x, everything)) + 0.1 * distances(x, queue).mean(1, keepdims=True) * counts
        queue = jnp.concatenate([jax.lax.stop_gradient(everything), queue])[: len(queue)]
        moved = {"buffers": {"queue": queue}, "batch_stats": {"average": x.mean(0)}}
        return values.sum(), counts.sum().astype(values.dtype), ({"model": moved}, {})

    return Task(("model",), init, loss, predict=None)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_and_a_buffer_over_the_global_batch_are_those_of_one_device(x64, accumulate):
    make = lambda gather, axis: make_train_step(
        pairs(gather), {"model": momentum}, noise, accumulate=accumulate, axis_name=axis
    )
    feeds, initial = [batch(i, 32) for i in range(3)], start(pairs(None))
    expected = train(jax.jit(make(lambda x: x, None)), initial, feeds)
    before, after = (np.asarray(state.stats["model"]["buffers"]["queue"]) for state in (initial, expected[0]))
    assert not before.any() and after.any(1).all()
    mesh = jax.make_mesh((2, 4), ("data", "fsdp"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    for devices in (Replicas(), MeshDevices(mesh)):
        state = devices.put_state(jax.tree.map(np.array, initial))
        step = devices.train_step(make(devices.gather, devices.axis_name), state)
        arguments = devices.put({}), devices.put(HYPER)
        reports = []
        for feed in feeds:
            state, report = step(state, arguments[0], devices.put_batch(feed), devices.put({}), arguments[1])
            reports.append(devices.get(report))
        assert_close((devices.get(state), reports), expected, 1e-9)


def test_buffers_are_never_averaged():
    """Rows that differ between devices stay as they are, also in floating point; batch statistics become their mean."""
    devices = Replicas()

    def loss(player, params, stats, batch, key, frozen, hyper):
        rows = batch["id"].astype(jnp.float32)
        moved = {"model": {"buffers": {"last": rows}, "batch_stats": {"last": rows}}}
        return params["model"]["w"].sum(), jnp.float32(1), (moved, {})

    tree = {"last": jnp.zeros(2)}
    init = lambda key, batch: ({"model": {"w": jnp.zeros(1)}}, {"model": {"buffers": tree, "batch_stats": tree}})
    task = Task(("model",), init, loss, predict=None)
    state = devices.put_state(jax.tree.map(np.array, start(task)))
    step = devices.train_step(make_train_step(task, {"model": momentum}, lambda b, k: b, axis_name="batch"), state)
    feed = devices.put_batch({"id": np.arange(16, dtype=np.int32)})
    state, _ = step(state, devices.put({}), feed, devices.put({}), devices.put(HYPER))
    found = state.stats["model"]
    np.testing.assert_array_equal(np.asarray(found["buffers"]["last"]), np.arange(16).reshape(8, 2))
    np.testing.assert_allclose(np.asarray(found["batch_stats"]["last"]), np.tile([7.0, 8.0], (8, 1)))
