"""Evaluation counts every example once; both ways of reading give one batch; a run compiles its step once."""

import jax
import numpy as np
import pytest

from experiments.pages import page
from experiments.runs.run import build
from training.parallel import MeshDevices
from training.step import fetch

EXAMPLES = 10_007


def make_page(**sections):
    """An MLP on gratings of 8×8 pixels."""
    given = dict(
        model=dict(name="mlp", hidden=(16,)),
        task=dict(name="classification"),
        optimizer=dict(name="sgd", momentum=0.9),
        schedule=dict(name="constant", peak=0.05),
        train=dict(batch_size=64, steps=20, evaluate_batch_size=256),
    )
    if sections.get("data", {}).get("name", "synthetic") == "synthetic":
        given["data"] = dict(name="synthetic", num_examples=EXAMPLES, image_size=8, channels=1)
    return page(**{name: {**given.get(name, {}), **sections.get(name, {})} for name in {**given, **sections}})


@pytest.fixture
def one_device(monkeypatch):
    """The run is placed on the first of the eight devices."""
    mesh = jax.make_mesh(
        (1, 1), ("data", "fsdp"), axis_types=(jax.sharding.AxisType.Auto,) * 2, devices=jax.devices()[:1]
    )
    monkeypatch.setattr("experiments.build.parts.devices", lambda kind, fsdp: MeshDevices(mesh))


def measure(tmp_path, **sections):
    run = build(make_page(**sections), tmp_path)
    return run, run._measure(run.devices.put_state(run.parts.initial_state()), "test")


@pytest.mark.parametrize("kind", ["pmap", "mesh"])
@pytest.mark.parametrize("resident", ["yes", "no"])
def test_eight_devices_count_each_example_once(tmp_path, kind, resident):
    _, numbers = measure(tmp_path, devices=dict(kind=kind), data=dict(resident=resident))
    _check(numbers)


def test_one_device_counts_each_example_once(tmp_path, one_device):
    _check(measure(tmp_path)[1])


def _check(numbers):
    """10,007 = 39 · 256 + 23: the last batch is mostly padding. The test split's classes begin with 7."""
    assert numbers["confusion"].sum() == EXAMPLES
    np.testing.assert_array_equal(numbers["confusion"].sum(1), [1001] * 4 + [1000] * 3 + [1001] * 3)
    assert numbers["accuracy"] == np.trace(numbers["confusion"]) / EXAMPLES


def test_one_device_and_eight_measure_the_same(tmp_path, request):
    _, eight = measure(tmp_path / "eight")
    request.getfixturevalue("one_device")
    _, one = measure(tmp_path / "one")
    np.testing.assert_array_equal(one["confusion"], eight["confusion"])
    assert one["cross_entropy"] == pytest.approx(eight["cross_entropy"], rel=1e-5)


def test_predictions_come_once_and_in_order(tmp_path):
    run = build(make_page(data=dict(num_examples=1003), train=dict(steps=1)), tmp_path)
    run.train()
    batch = run.parts.source("test").fetch(np.arange(1003))
    predictions = run.predict(batch["image"], size=128)
    assert predictions["logits"].shape == (1003, 10)
    # The metric, recomputed on the host from what was predicted.
    labels = batch["label"]
    assert (predictions["prediction"] == labels).mean() == pytest.approx(run.evaluate("test")["accuracy"])


@pytest.mark.parametrize("name", ["synthetic", "digits"])
def test_resident_and_streamed_batches_are_equal_to_the_bit(tmp_path, name):
    """As the step sees them: fetched, augmented and scaled, over the end of an epoch, in both placements."""
    section = dict(name=name, augment=("pad_crop(1)", "flip", "cutout(3)"))
    if name == "synthetic":
        section |= dict(num_examples=300)
    batches = {}
    for kind in ("pmap", "mesh"):
        for resident in ("yes", "no"):
            given = make_page(data={**section, "resident": resident}, devices=dict(kind=kind))
            batches[kind, resident] = _batches(build(given, tmp_path).parts)
    reference = batches["pmap", "no"]
    for found in batches.values():
        assert found.keys() == reference.keys() >= {"image", "label", "id"}
        for key, x in reference.items():
            np.testing.assert_array_equal(found[key], x)


def _batches(parts, steps=8):
    """name -> [steps, batch, ...] of the batches that the loss is given."""
    seen = lambda resident, feed, key: parts.augment(fetch(resident, feed), jax.random.wrap_key_data(key))
    step, resident = parts.devices.predict_step(seen), parts.resident("train")
    key, feeds = parts.devices.put(parts.root_key), parts.feeds(0)
    rows = [parts.devices.get_rows(step(resident, next(feeds), key)) for _ in range(steps)]
    feeds.close()
    return jax.tree.map(lambda *x: np.stack(x), *rows)


@pytest.fixture(scope="module")
def compiled():
    """Names of the programs, as XLA compiles them or reads them from its cache."""
    names = []
    event = "/jax/core/compile/backend_compile_duration"
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **about: names.append(about["fun_name"]) if name == event else None
    )
    return names


@pytest.mark.parametrize("placement", ["one_device", "pmap", "mesh"])
def test_a_run_compiles_its_step_once(tmp_path, request, compiled, placement):
    """Over the whole of it: steps, validations, partial last batches, checkpoints, and going on from one."""
    if placement == "one_device":
        request.getfixturevalue("one_device")
    given = make_page(
        devices=dict(kind="auto" if placement == "one_device" else placement),
        data=dict(num_examples=1003, validation="test[:600]", augment=("flip",)),
        train=dict(steps=30, evaluate_every=10, checkpoint_every=10, log_every=5, ema=0.9),
    )
    calls = []

    def watch(step):
        def call(*arguments):
            before = len(compiled)
            outputs = step(*arguments)
            # Beside the step, `pmap` compiles a program that cuts up its arguments.
            calls.append([name for name in compiled[before:] if name != "jit(_multi_slice)"])
            return outputs

        return call

    build(given, tmp_path).train(watch)
    assert [len(names) for names in calls] == [1] + [0] * 29, calls
