"""What every page promises, tried at tiny width: it steps, evaluates, comes back, and computes what it says.

Pages that are compiled to the same program but for numbers share one trial; all of them are built.
"""

import atexit
import functools
import itertools
import pathlib
import shutil
import tempfile

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments.build.parts import Parts
from experiments.errors import PageError
from experiments.pages.catalogue import load, pages
from experiments.pages.component import find
from experiments.pages.schema import components
from experiments.runs.run import Run, build
from models.layers.conv import gradients_written_out
from tests.experiments.tiny import NETWORKS, TEST, MissingLine, few_blocks, networks, programs, tiny
from tests.flags import AS_FOR_USERS
from training.checkpoint import leaves
from training.step import fetch

# The parameters of the tests are read from it at collection, before there are fixtures.
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="fovea-contract-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
PROGRAMS = programs(FOLDER)

# Batch statistics, several players with second derivatives, noise of each example, a loss over the whole batch, and a
# code book.
ON_DEVICES = (
    "resnet20_cifar10",
    "wgan_gp_gaussians",
    "ddpm_mnist_small",
    "unet_scenes",
    "triplet_digits",
    "vqvae_cifar10",
)

# The first program of each combination of networks: the others differ in what surrounds them.
ONE_OF_EACH = list({networks(name): name for name in reversed(PROGRAMS)}.values())[::-1]

# Those whose program is compiled as for users in the comparison with no compilation: one of each task.
AS_USERS_COMPILE = {load(name).task.name: name for name in reversed(PROGRAMS)}.values()

# The few lower for both accelerators under both placements; every other program for one of the four, in turn.
PLACEMENTS = list(itertools.product(("pmap", "mesh"), ("gpu", "tpu")))
LOWERED = [
    (name, *PLACEMENTS[(i + k) % 4])
    for i, name in enumerate(dict.fromkeys([*PROGRAMS, *ON_DEVICES]))
    for k in range(4 if name in ON_DEVICES else 1)
]

COMPILED = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, duration, **_: COMPILED.append(event) if event.endswith("backend_compile_duration") else None
)


@pytest.fixture(scope="module", autouse=True)
def shallow():
    with pytest.MonkeyPatch.context() as patch:
        few_blocks(patch)
        yield


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
        with jax.enable_x64(False):  # whichever test asks first
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
        return state, resident, next(parts.host_feeds(0)), parts.frozen, parts.hyper

    @functools.cached_property
    def stepped(self):
        """(new state, metrics) of the step on one device, in float64."""
        parts = self.exact()
        return jax.jit(parts.step)(*self.arguments(parts))

    @functools.cached_property
    def gradients(self):
        """player -> ((parameters, key) -> ((loss, statistics and metrics), gradient), the parameters), in float64.

        The loss is the sum over the first batch.
        """
        parts = self.exact()
        state, resident, feed, frozen, hyper = self.arguments(parts)
        first = jax.tree.map(lambda x: x[0], feed) if parts.task.fresh else feed
        batch = jax.tree.map(np.asarray, parts.prepare(fetch(resident, first)))
        stats = jax.tree.map(jnp.asarray, state.stats)  # a tracer indexes them

        def loss(player, own, key):
            params = {**state.params, player: own}
            value, _, aux = parts.task.loss(player, params, stats, batch, key, frozen, hyper)
            return value, aux

        each = lambda player: jax.value_and_grad(functools.partial(loss, player), has_aux=True)
        return {player: (each(player), state.params[player]) for player in parts.task.names}

    @functools.cached_property
    def compiled(self):
        """`gradients`, each compiled."""
        options = AS_FOR_USERS if self.name in AS_USERS_COMPILE else None
        return {
            player: (jax.jit(gradient, compiler_options=options), own)
            for player, (gradient, own) in self.gradients.items()
        }

    def draws(self) -> bool:
        """Whether a loss draws anything: then it differs between two keys."""
        keys = jax.random.key(0), jax.random.key(1)
        with gradients_written_out():
            pairs = [[gradient(own, key)[0][0] for key in keys] for gradient, own in self.compiled.values()]
        return any(first != other for first, other in pairs)


def _like(state, like):
    """The leaves of `like`, from the equally named ones of `state`; zeros where it has none (no momentum, say)."""
    known = leaves(state)
    return [
        known[path].astype(x.dtype) if path in known and known[path].shape == x.shape else np.zeros(x.shape, x.dtype)
        for path, x in leaves(like).items()
    ]


def assert_close(found, expected, tolerance=1e-9):
    """Leaf by leaf, relative to the largest element of each.

    A gradient that cancels, of a bias before a norm for instance, is rounding: it is small beside the largest leaf.
    """
    found, expected = leaves(found), leaves(expected)
    assert found.keys() == expected.keys()
    largest = max(np.abs(x).max(initial=0) for x in expected.values())
    for path, x in expected.items():
        x, y = np.asarray(x), np.asarray(found[path])
        scale = np.abs(x).max(initial=0)
        assert np.isfinite(x).all(), path
        assert np.abs(x - y).max(initial=0) <= tolerance * scale + 1e-12 * largest + 1e-14, path


def moved(before, after):
    """What a step changed of the parameters: its gradients, but for the learning rate."""
    return jax.tree.map(lambda a, b: np.asarray(b) - np.asarray(a), before.params, after.params)


@pytest.fixture(scope="module", params=PROGRAMS)
def case(request):
    yield Case(request.param)
    jax.clear_caches()


@pytest.mark.parametrize("name", pages())
def test_every_page_is_built_and_belongs_to_a_program_that_is_tried(name):
    parts = Parts(tiny(name, FOLDER))  # raises MissingLine for what has no line in tests/experiments/tiny.py
    assert [name in names for names in PROGRAMS.values()].count(True) == 1
    assert parts.example_batch()["image"].shape[-1] == parts.info.shape[-1]
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

    if run.task.makes is not None:
        number = run.task.makes.count or 8
        samples = run.sample(number)
        assert samples.shape == (number, *run.parts.info.shape) and np.isfinite(samples).all()
    ids = np.arange(8) % len(run.parts.source("test"))
    outputs = run.predict(run.parts.source("test").fetch(ids)["image"])
    assert outputs and all(len(x) == 8 and np.isfinite(x).all() for x in outputs.values())
    assert run.task.outputs.keys() <= outputs.keys()

    views, fields = run.task.views, run.parts.info.fields.keys()
    shown = {
        "examples": any(view.images and set(view.needs) - fields for view in views),
        "samples": run.task.makes is not None,
    }
    assert {name: (tmp_path / name / "step_00000002.png").is_file() for name in shown} == shown


class Asked(dict):
    """The rates of no network; it keeps the names of the networks whose rates are looked up."""

    def __init__(self):
        self.names = set()

    def __contains__(self, name):
        self.names.add(name)
        return False


def test_a_loss_takes_the_rates_of_each_of_its_networks(case, x64):
    """Otherwise trials of one program that differ in a rate would be trained with the same one."""
    parts, asked = case.exact(), Asked()
    state, resident, feed, frozen, hyper = case.arguments(parts)
    first = jax.tree.map(lambda x: x[0], feed) if parts.task.fresh else feed
    batch = parts.prepare(fetch(resident, first))
    for player in parts.task.names:

        def loss(params, stats, key, player=player):
            return parts.task.loss(player, params, stats, batch, key, frozen, {**hyper, "model": asked})

        jax.eval_shape(loss, state.params, state.stats, jax.random.key(0))
    if parts.page.task.name != "texture":  # its parameters are a picture
        assert asked.names == set(components("model", parts.page.model))


def test_steps_twice_in_bfloat16(case):
    parts = Parts(tiny(case.name, FOLDER, dtype="bfloat16"))
    state, hyper = parts.devices.put_state(case.state), parts.devices.put(parts.hyper)
    step, feeds = parts.devices.train_step(parts.step, state), parts.feeds(0)
    for _ in range(2):
        state, metrics = step(state, parts.resident("train"), next(feeds), parts.devices.put(parts.frozen), hyper)
    found = parts.devices.get(state)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(parts.devices.get(metrics)))
    for path, x in leaves(found).items():
        assert x.dtype == leaves(case.state)[path].dtype and np.isfinite(x).all(), path
    assert any(np.any(x) for x in jax.tree.leaves(moved(case.state, found)))


def test_loss_and_gradient_are_those_without_jit(case, x64):
    """Without jit, convolutions are JAX's own as well."""
    key = jax.random.key(0)
    for player, (gradient, own) in case.gradients.items():
        with gradients_written_out():
            found = case.compiled[player][0](own, key)
        expected = gradient(own, key)
        moving = [np.any(x) for x in jax.tree.leaves(expected[1])]
        assert expected[0][0] and sum(moving) >= len(moving) - 1, player  # a critic's last bias cancels
        assert_close(found, expected)


@pytest.mark.parametrize("case", ONE_OF_EACH, indirect=True)
def test_accumulation_changes_nothing(case, x64):
    """Where noise or batch statistics are those of a microbatch, the state keeps its form."""
    if case.exact().task.pairs:
        with pytest.raises(PageError, match="a microbatch has other pairs"):
            _ = case.exact(accumulate=2).task
        return
    twice, form = case.exact(accumulate=2), lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    state, *arguments = case.arguments(twice)
    assert form(jax.eval_shape(twice.step, state, *arguments)[0]) == form(state)
    if jax.tree.leaves(state.stats) or case.draws():
        return
    new, metrics = jax.jit(twice.step)(state, *arguments)
    assert_close(moved(state, new), moved(state, case.stepped[0]))
    assert_close(metrics["loss"], case.stepped[1]["loss"])


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
    as_numbers = lambda tree: jax.tree.map(lambda x: np.asarray(x, float), tree)  # whether a step counted is a boolean
    assert_close(as_numbers(devices.get(metrics)), as_numbers(case.stepped[1]))


@pytest.mark.parametrize("case", ONE_OF_EACH, indirect=True)
def test_padding_changes_nothing(case, x64, tmp_path):
    """One batch of the whole split, and one and a half batches filled up with rows that do not count."""
    found = []
    for size in (TEST, 16):
        run = Run(case.exact(evaluate_batch_size=size), tmp_path)
        state = run.devices.put_state(case.arguments(run.parts)[0])
        numbers = run.evaluations.measure(state, "test", functools.partial(run.snapshots.draw, state))
        found.append({name: x for name, x in numbers.items() if isinstance(x, float)})
    assert len(run.parts.source("test")) in (TEST, TEST // 2, 1)  # half of them in each unpaired set
    assert not all(feed["mask"].all() for feed in run.parts.evaluation_batches("test"))
    assert found[0].keys() == found[1].keys() and np.isfinite(list(found[0].values())).any()
    for name, x in found[0].items():  # NaN where nothing is to be measured, such as large boxes
        np.testing.assert_allclose(found[1][name], x, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(("case", "kind", "backend"), LOWERED, indirect=["case"])
def test_the_step_lowers_for_accelerators(case, kind, backend, monkeypatch):
    """With the choices that code makes on an accelerator; nothing is compiled."""
    page = tiny(case.name, FOLDER)
    with page.unlocked():
        page.devices.kind = kind
    parts = Parts(page.lock())
    devices, state = parts.devices, parts.devices.put_state(case.state)
    arguments = (state, parts.resident("train"), next(parts.feeds(0)), devices.put(parts.frozen))
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    step = jax.jit(devices.train_step(parts.step, state))
    platform = {"gpu": "cuda", "tpu": "tpu"}[backend]
    exported = jax.export.export(step, platforms=(platform,))(*arguments, devices.put(parts.hyper))
    assert exported.platforms == (platform,) and exported.nr_devices == 8


def test_a_page_with_a_part_that_no_table_has_names_the_line_to_add(tmp_path, monkeypatch):
    monkeypatch.delitem(NETWORKS, "lenet5")
    with pytest.raises(MissingLine, match=r"add a line 'lenet5' to NETWORKS in tests/experiments/tiny.py"):
        tiny("lenet5_digits", tmp_path)
    assert not [names for names in programs.__wrapped__(tmp_path).values() if "lenet5_digits" in names]
