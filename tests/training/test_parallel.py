"""Where arrays live: what is put on the devices comes back, under either placement."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from training.errors import TrainingError
from training.parallel import MeshDevices, Replicas, check_batch, devices

PLACEMENTS = [("pmap", 1), ("mesh", 1), ("mesh", 4), ("mesh", 8)]
HOST = {
    "step": np.array(3, np.int32),
    "kernel": np.arange(48, dtype=np.float32).reshape(3, 16),
    "odd": np.arange(15, dtype=np.float32).reshape(3, 5),
    "half": np.ones(8, jax.numpy.bfloat16),
}


def assert_same(a, b):
    for name, x in b.items():
        assert a[name].dtype == x.dtype and a[name].shape == x.shape
        np.testing.assert_array_equal(a[name], x)


@pytest.mark.parametrize(("kind", "fsdp"), PLACEMENTS)
def test_what_is_put_comes_back(kind, fsdp):
    placed = devices(kind, fsdp)
    assert_same(placed.get(placed.put(HOST)), HOST)
    assert_same(placed.get(placed.put_state(HOST)), HOST)


@pytest.mark.parametrize(("kind", "fsdp"), PLACEMENTS)
def test_rows_keep_their_order(kind, fsdp):
    placed = devices(kind, fsdp)
    feed = {"id": np.arange(32, dtype=np.int32), "image": np.random.default_rng(0).normal(size=(32, 2, 2)).astype("f")}
    step = placed.predict_step(lambda feed: {"id": feed["id"], "image": feed["image"] * 1})
    assert_same(placed.get_rows(step(placed.put_batch(feed))), feed)


@pytest.mark.parametrize(("kind", "fsdp"), PLACEMENTS)
def test_evaluation_sums_over_the_global_batch_and_keeps_rows(kind, fsdp):
    placed = devices(kind, fsdp)
    sums = lambda feed: {"sum": feed["id"].sum(), "count": (feed["id"] >= 0).sum()}
    feed = placed.put_batch({"id": np.arange(40, dtype=np.int32)})
    for rows in (lambda feed: {"double": 2 * feed["id"]}, lambda feed: {}):
        step = placed.evaluate_step(lambda feed, rows=rows: (sums(feed), rows(feed)))
        found, kept = step(feed)
        assert placed.get(found) == {"sum": 780, "count": 40}
        assert_same(placed.get_rows(kept), {"double": 2 * np.arange(40, dtype=np.int32)} if kept else {})


@pytest.mark.parametrize("lead", [1, 2])
@pytest.mark.parametrize(("kind", "fsdp"), [("pmap", 1), ("mesh", 2)])
def test_axes_for_steps_and_updates_stand_before_the_batch(kind, fsdp, lead):
    placed, shape = devices(kind, fsdp), (3, 2)[:lead]
    feed = np.arange(int(np.prod(shape)) * 16).reshape(*shape, 16)
    total = (lambda x: jax.lax.psum(x, "batch")) if kind == "pmap" else (lambda x: x)
    step = placed.train_step(lambda state, feed: (state, total(feed.sum(-1))), state := np.zeros(()))
    _, sums = step(placed.put_state(state), placed.put_batch(feed, lead=lead))
    np.testing.assert_array_equal(placed.get(sums), feed.sum(-1))


def test_fsdp_splits_the_longest_axis_that_it_divides():
    placed = devices("mesh", 8)
    state = placed.put_state(HOST)
    assert state["kernel"].sharding.spec == PartitionSpec(None, "fsdp")
    assert state["kernel"].addressable_shards[0].data.shape == (3, 2)
    assert state["half"].addressable_shards[0].data.shape == (1,)
    assert state["odd"].sharding.is_fully_replicated and state["step"].sharding.is_fully_replicated


def test_auto_is_a_mesh_where_there_is_one_device_or_fsdp():
    assert isinstance(devices("auto"), Replicas)
    assert isinstance(devices("auto", 2), MeshDevices)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pmap", 2), "needs devices.kind='mesh'"),
        (("mesh", 3), "fsdp=3 does not divide the 8 devices"),
        (("mesh", 0), "fsdp=0"),
        (("shard", 1), "'shard' is unknown: 'auto', 'pmap' or 'mesh'"),
    ],
)
def test_bad_placements(arguments, message):
    with pytest.raises(TrainingError, match=message):
        devices(*arguments)


@pytest.mark.parametrize(
    ("size", "message"),
    [(12, "does not divide over 8 devices: try 8 or 16"), (7, "does not divide over 8 devices"), (0, "is less than 1")],
)
def test_a_batch_that_the_devices_do_not_divide(size, message):
    with pytest.raises(TrainingError, match=f"train.batch_size={size} {message}"):
        check_batch("train.batch_size", size)
    check_batch("train.batch_size", 16)
