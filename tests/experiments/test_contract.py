"""What every page promises, tried on all of them at tiny width: it steps, evaluates, comes back, and computes what it says.

Pages that are compiled to the same program but for numbers share one trial; all of them are built.
"""

import contextlib
import functools
import pathlib
import tempfile

import jax
import jax.export
import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments.build.parts import Parts
from experiments.pages.component import find
from experiments.pages.schema import pages
from experiments.runs.run import build
from models.layers.conv import gradients_written_out
from tests.experiments.tiny import TEST, program, programs, tiny
from training.checkpoint import leaves
from training.step import fetch

FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="fovea-contract-"))
PROGRAMS = programs(FOLDER)

# Batch statistics, several players with second derivatives, noise of each example, a loss over the whole batch.
ON_DEVICES = ("resnet20_cifar10", "wgan_gp_gaussians", "ddpm_mnist_small", "unet_scenes")

COMPILED = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, duration, **_: COMPILED.append(event) if event.endswith("backend_compile_duration") else None
)


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    """Optimising a program takes longer than these run; what is compared with it is optimised all the same."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def x64():
    """A page in float64 switches jax to it for the whole process."""
    yield
    jax.config.update("jax_enable_x64", False)


class Case:
    """A page, and what several of its tests need."""

    def __init__(self, name: str):
        self.name = name

    @functools.cached_property
    def state(self):
        """The initial state in float32, on the host; no parameter is zero, behind which a gradient could hide."""
        random = np.random.default_rng(0)
        state = Parts(tiny(self.name, FOLDER)).initial_state()
        shake = lambda x: (x + 0.05 * random.normal(size=x.shape)).astype(x.dtype)
        return state.replace(params=jax.tree.map(shake, state.params))

    def exact(self, kind: str = "mesh", **train) -> Parts:
        """The page in float64, without augmentation, under gradient descent."""
        page = tiny(self.name, FOLDER, dtype="float64", param_dtype="float64", **train)
        with page.unlocked():
            page.data.augment = ()
            page.devices.kind = kind
            page.optimizer = ConfigDict({"name": "sgd", **find("optimizer", "sgd").defaults()})
            page.schedule = ConfigDict({"name": "constant", **find("schedule", "constant").defaults(), "peak": 0.1})
        return Parts(page.lock())

    def arguments(self, parts: Parts):
        """(state, resident, feed, frozen, hyper) of the first step, on the host."""
        like = parts.abstract_state
        state = jax.tree.unflatten(jax.tree.structure(like), _like(self.state, like))
        resident = jax.tree.map(np.asarray, parts.devices.get(parts.resident("train")))
        return state, resident, next(parts.host_feeds(0)), parts.task.frozen(), parts.hyper

    @functools.cached_property
    def stepped(self):
        """(new state, metrics) of the step on one device, in float64."""
        parts = self.exact()
        return jax.jit(parts.step)(*self.arguments(parts))

    def losses(self, parts: Parts):
        """player -> (its parameters, key) -> (loss, statistics and metrics), a sum over the first batch."""
        state, resident, feed, frozen, hyper = self.arguments(parts)
        first = jax.tree.map(lambda x: x[0], feed) if parts.task.fresh else feed
        batch = jax.tree.map(np.asarray, parts.prepare(fetch(resident, first)))

        def loss(player, own, key):
            params = {**state.params, player: own}
            value, _, aux = parts.task.loss(player, params, state.stats, batch, key, frozen, hyper)
            return value, aux

        return {player: (functools.partial(loss, player), state.params[player]) for player in parts.task.names}


def _like(state, like):
    """The leaves of `like`, from the equally named ones of `state`; zeros where it has none (no momentum, say)."""
    known = leaves(state)
    return [
        known[path].astype(x.dtype) if path in known and known[path].shape == x.shape else np.zeros(x.shape, x.dtype)
        for path, x in leaves(like).items()
    ]


@contextlib.contextmanager
def as_for_users():
    """Programs are optimised, and convolutions computed, as they are for users on a CPU."""
    jax.config.update("jax_disable_most_optimizations", False)
    with gradients_written_out():
        yield
    jax.config.update("jax_disable_most_optimizations", True)


def assert_close(found, expected, tolerance=1e-9):
    """Leaf by leaf, relative to the largest element of each."""
    found, expected = leaves(found), leaves(expected)
    assert found.keys() == expected.keys()
    for path, x in expected.items():
        x, y = np.asarray(x), np.asarray(found[path])
        scale = np.abs(x).max(initial=0)
        assert np.isfinite(x).all(), path
        assert np.abs(x - y).max(initial=0) <= tolerance * scale + 1e-14, path


def moved(before, after):
    """What a step changed of the parameters: its gradients, but for the learning rate."""
    return jax.tree.map(lambda a, b: np.asarray(b) - np.asarray(a), before.params, after.params)


@pytest.fixture(scope="module", params=PROGRAMS)
def case(request):
    yield Case(request.param)
    jax.clear_caches()


@pytest.mark.parametrize("name", pages())
def test_every_page_is_built_and_belongs_to_a_program_that_is_tried(name):
    page = tiny(name, FOLDER)
    assert program(page) in {program(tiny(first, FOLDER)) for first in PROGRAMS}
    parts = Parts(page)
    batch = jax.eval_shape(parts.augment, parts.example_batch(), jax.random.key(0))
    assert batch["image"].shape[-1] == parts.info.shape[-1]
    assert jax.tree.leaves(parts.abstract_state.params)


def test_trains_evaluates_predicts_and_comes_back(case, tmp_path):
    run, compiled, states = build(tiny(case.name, FOLDER), tmp_path), [], []

    def watched(step):
        def call(*arguments):
            before = len(COMPILED)
            out = step(*arguments)
            compiled.append(len(COMPILED) - before)
            states.append(out[0])
            return out

        return call

    summary = run.train(watched, quiet=True)
    assert len(compiled) == 2 and compiled[0] > 0 and compiled[1] == 0, "its step is compiled once"
    assert any(key.startswith("test/") for key in summary)

    again = build(tiny(case.name, FOLDER), tmp_path)
    expected, found = leaves(run.devices.get(states[-1])), leaves(again.restore(2)[0])
    assert found.keys() == expected.keys()
    for path, x in expected.items():
        np.testing.assert_array_equal(found[path], x, err_msg=path)

    if run.task.sample is not None:
        samples = run.sample(8)
        assert samples.shape == (8, *run.parts.info.shape) and np.isfinite(samples).all()
    outputs = run.predict(run.parts.source("test").fetch(np.arange(8))["image"])
    floats = [x for x in outputs.values() if np.issubdtype(x.dtype, np.floating)]
    assert all(len(x) == 8 for x in outputs.values()) and floats and all(np.isfinite(x).all() for x in floats)


def test_steps_twice_in_bfloat16(case):
    parts = Parts(tiny(case.name, FOLDER, dtype="bfloat16"))
    state, hyper = parts.devices.put_state(case.state), parts.devices.put(parts.hyper)
    step, feeds = parts.devices.train_step(parts.step, state), parts.feeds(0)
    for _ in range(2):
        state, metrics = step(
            state, parts.resident("train"), next(feeds), parts.devices.put(parts.task.frozen()), hyper
        )
    found = parts.devices.get(state)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(parts.devices.get(metrics)))
    for path, x in leaves(found).items():
        assert x.dtype == leaves(case.state)[path].dtype and np.isfinite(x).all(), path
    assert any(np.any(x) for x in jax.tree.leaves(moved(case.state, found)))


def test_loss_and_gradient_are_those_without_jit(case, x64):
    for player, (loss, own) in case.losses(case.exact()).items():
        gradient, key = jax.value_and_grad(loss, has_aux=True), jax.random.key(0)
        with as_for_users():
            found = jax.jit(gradient)(own, key)
        expected = gradient(own, key)
        assert expected[0][0] and all(np.any(x) for x in jax.tree.leaves(expected[1])), player
        assert_close(found, expected)


def test_accumulation_changes_nothing(case, x64):
    """But where noise or batch statistics are of a microbatch: there the state keeps its form."""
    twice, form = case.exact(accumulate=2), lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    state, *arguments = case.arguments(twice)
    assert form(jax.eval_shape(twice.step, state, *arguments)[0]) == form(state)
    if jax.tree.leaves(state.stats) or any(noisy(*pair) for pair in case.losses(case.exact()).values()):
        return
    new, metrics = jax.jit(twice.step)(state, *arguments)
    assert_close(moved(state, new), moved(state, case.stepped[0]))
    assert_close(metrics["loss"], case.stepped[1]["loss"])


def noisy(loss, own) -> bool:
    """Whether a loss draws anything: then two keys differ."""
    first, other = (jax.jit(lambda own, key: loss(own, key)[0])(own, jax.random.key(seed)) for seed in (0, 1))
    return bool(first != other)


def test_padding_changes_nothing(case, x64, tmp_path):
    numbers = []
    for size in (TEST, 16):  # no padding; one batch and a half
        parts = case.exact(evaluate_batch_size=size)
        run = build(parts.page, tmp_path)
        run.checkpoints.save(1, case.arguments(parts)[0], {})
        run.checkpoints.wait()
        numbers.append({k: x for k, x in run.evaluate("test").items() if not isinstance(x, str)})
    assert len(numbers[0]) > 1
    assert_close(numbers[1], numbers[0])


@pytest.mark.parametrize("kind", ["pmap", "mesh"])
@pytest.mark.parametrize("case", ON_DEVICES, indirect=True)
def test_the_number_of_devices_changes_nothing(case, kind, x64):
    parts = case.exact(kind)
    devices, (state, _, _, frozen, hyper) = parts.devices, case.arguments(parts)
    placed = devices.put_state(state)
    step = devices.train_step(parts.step, placed)
    new, metrics = step(placed, parts.resident("train"), next(parts.feeds(0)), devices.put(frozen), devices.put(hyper))
    assert jax.device_count() == 8
    assert_close(moved(state, devices.get(new)), moved(state, case.stepped[0]))
    assert_close(devices.get(metrics), case.stepped[1])


@pytest.mark.parametrize("kind", ["pmap", "mesh"])
@pytest.mark.parametrize(("platform", "backend"), [("cuda", "gpu"), ("tpu", "tpu")])
def test_the_step_lowers_for_accelerators(case, kind, platform, backend, monkeypatch):
    page = tiny(case.name, FOLDER)
    with page.unlocked():
        page.devices.kind = kind
    parts = Parts(page.lock())
    devices = parts.devices
    state = devices.put_state(case.state)
    arguments = (state, parts.resident("train"), next(parts.feeds(0)), devices.put(parts.task.frozen()))
    monkeypatch.setattr(jax, "default_backend", lambda: backend)  # what code chooses by
    step = jax.jit(devices.train_step(parts.step, state))
    exported = jax.export.export(step, platforms=(platform,))(*arguments, devices.put(parts.hyper))
    assert exported.platforms == (platform,) and exported.nr_devices == 8
