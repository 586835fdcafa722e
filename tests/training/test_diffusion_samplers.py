"""Samplers: steps are those of diffusers, and with the exact score they recover a Gaussian at their stated order."""

import types
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.goldens.make_classification import seeded_images
from tests.models.parity import golden
from training import diffusion as process
from training import diffusion_samplers as samplers
from training import processes

OPTIONS = dict(eta=0.0, churn=0.0, corrections=1, snr=0.16, step_size=2e-5, variance="large")


def named(name, **options):
    return samplers.SAMPLERS[name](types.SimpleNamespace(**(OPTIONS | options)))


@pytest.mark.parametrize(
    ("name", "step", "target", "schedule"),
    [
        ("ancestral", samplers.ancestral_step, "noise", process.linear),
        ("ancestral_small", partial(samplers.ancestral_step, variance="small"), "noise", process.linear),
        ("ancestral_cosine", samplers.ancestral_step, "noise", process.cosine),
        ("ancestral_image", samplers.ancestral_step, "image", process.linear),
        ("ddim", samplers.ddim_step, "noise", process.linear),
        ("ddim_noisy", partial(samplers.ddim_step, eta=1.0), "noise", process.linear),
        ("ddim_velocity", samplers.ddim_step, "velocity", process.linear),
    ],
)
def test_steps_are_those_of_diffusers(name, step, target, schedule):
    stored = golden("schedulers")
    x = seeded_images(2, 4, 4, 3)
    output, noise = 0.3 * x[:, ::-1, ::-1, ::-1] + 0.1, x[::-1]
    few = schedule(1000).respaced(50)
    for time, expected in zip(stored["time"], stored[name], strict=True):
        (place,) = np.flatnonzero(few.told == time)
        move = jax.tree.map(lambda values, place=place: values[place], few.moves)
        start = few.clip(process.TARGETS[target].start(output, x, move.mean, move.noise))
        np.testing.assert_allclose(step(x, start, noise, move), expected, rtol=2e-3, atol=2e-4)


def path(sampler, schedule, x, denoise, draw=lambda: 0.0):
    """All x of a sampler, one after another: [steps, B, ...]."""
    x, found = jnp.asarray(x, float), []
    context, memory = samplers.Context(denoise, draw, schedule), sampler.memory(x)
    step = jax.jit(partial(sampler.step, context))
    for place in reversed(range(len(schedule.t))):
        x, memory = step(
            x, memory, jax.tree.map(lambda values, place=place: jnp.asarray(values[place]), schedule.moves)
        )
        found.append(np.asarray(x))
    return np.stack(found)


flipped = lambda x: 0.3 * x[:, ::-1, ::-1, ::-1] + 0.1  # the noise that the stand-in finds


def by_noise(x, level):
    return (x - level.noise * flipped(x)) / level.mean


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def without_mean(schedule):
    """The levels of a schedule as x/a has them: noise of σ on the data."""
    return process.dataclasses.replace(schedule, mean=np.ones_like(schedule.mean), noise=schedule.noise / schedule.mean)


@pytest.mark.parametrize(("name", "ours"), [("euler", "euler"), ("euler", "ddim"), ("heun", "heun")])
def test_paths_in_units_of_the_data_are_those_of_diffusers(float64, name, ours):
    """diffusers' Euler and Heun move x/a, and give the network x."""
    schedule = without_mean(process.linear(1000).respaced(10, "linspace"))
    read = lambda y, level: y - level.noise * flipped(y / jnp.sqrt(1 + level.noise**2))
    x = seeded_images(2, 4, 4, 3) * schedule.noise[-1]
    expected = golden("schedulers")[name]
    if name == "heun":  # whose predictions are steps of their own
        expected = np.append(expected[1::2], expected[-1:], 0)
    scale = np.abs(expected).max((1, 2, 3, 4), keepdims=True)
    np.testing.assert_allclose(path(named(ours), schedule, x, read) / scale, expected / scale, atol=2e-5)


@pytest.mark.parametrize("name", ["dpm_solver", "unipc"])
def test_paths_of_several_steps_are_those_of_diffusers(float64, name):
    schedule = process.linear(1000).respaced(10, "trailing")
    found = path(named(name), schedule, seeded_images(2, 4, 4, 3), by_noise)
    expected = golden("schedulers")[name].copy()
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)


def test_flow_matching_is_that_of_diffusers(float64):
    """Its stand-in answers with the velocity ε − x_0."""
    stored, full = golden("schedulers"), process.SCHEDULES["rectified_flow"](1000)
    levels = full.at(jnp.asarray(np.float64(stored["flow_sigmas"][-2::-1])))
    few = process.dataclasses.replace(full, **{name: np.asarray(x) for name, x in levels._asdict().items()})
    denoise = lambda x, level: process.TARGETS["flow"].start(flipped(x), x, level.mean, level.noise)
    found = path(named("euler"), few, seeded_images(2, 4, 4, 3), denoise)
    np.testing.assert_allclose(found, stored["flow"], rtol=1e-4, atol=1e-5)


def test_predictor_and_corrector_are_those_of_diffusers(float64):
    """But for the last step, to the data, which adds no noise here."""
    schedule = process.SCHEDULES["variance_exploding"](10)
    denoise = lambda x, level: x - level.noise * flipped(x / (1 + level.noise))
    x = seeded_images(2, 4, 4, 3)
    found = path(named("predictor_corrector", snr=0.15), schedule, 50 * x, denoise, lambda part=0: x[:, ::-1])
    expected = golden("schedulers")["score_ve"]
    scale = np.abs(expected).max((1, 2, 3, 4), keepdims=True)
    np.testing.assert_allclose((found / scale)[:-1], (expected / scale)[:-1], atol=1e-4)


def test_reverse_sde_is_that_of_diffusers(float64):
    full = process.SCHEDULES["variance_preserving"](1000)
    x, draw = seeded_images(2, 4, 4, 3), seeded_images(2, 4, 4, 3)[:, ::-1]
    for t, expected in zip(np.linspace(1, 1e-3, 10), golden("schedulers")["score_vp"], strict=True):
        level, before = full.at(jnp.asarray(t)), full.at(jnp.asarray(t - 0.1))
        move = process.Move(*level, *before, 0, 1)._replace(noise_before=jnp.ones(()))
        x = samplers.reverse_sde_step(x, by_noise(x, level), draw, move, full)
        np.testing.assert_allclose(x, expected, rtol=1e-3, atol=1e-3)


MEAN, STD = np.array([0.3, -0.2]), np.array([0.5, 0.1])


def exact(x, level):
    """E[x_0 | x_t] for x_0 ~ N(MEAN, STD²): the exact denoiser."""
    a, s = level.mean, level.noise
    return MEAN + a * STD**2 / (a**2 * STD**2 + s**2) * (x - a * MEAN)


def recovers(sampler, schedule, count=4000, rtol=0.05, copies=1):
    """`copies` of the pair are one sample."""
    keys = jax.random.split(jax.random.key(0), count // copies)
    x = np.asarray(jax.jit(lambda keys: samplers.sample(exact, sampler, schedule, keys, (copies, 2)))(keys))
    x = x.reshape(-1, 2)
    np.testing.assert_allclose((x.mean(0) - MEAN) / STD, 0, atol=4 / count**0.5)
    np.testing.assert_allclose(x.std(0), STD, rtol=rtol)
    assert abs(np.corrcoef(x.T)[0, 1]) < 0.06


# Those that end with some of the image start from noise that is not quite theirs; a ladder is for Langevin dynamics.
OTHERS = ("scaled_linear", "ncsn", "ncsnv2", "rectified_flow_logit_normal")
PROCESSES = [name for name in process.SCHEDULES if name not in OTHERS]


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("sampler", ["ancestral", "ancestral small", "ddim", "ddim noisy"])
def test_samplers_recover_a_gaussian_by_every_process(name, sampler):
    options = {"ancestral small": dict(variance="small"), "ddim noisy": dict(eta=1.0)}.get(sampler, {})
    recovers(named(sampler.split()[0], **options), process.SCHEDULES[name](1000))


def test_ddim_recovers_a_gaussian_in_half_of_the_steps():
    recovers(named("ddim"), process.linear(1000).respaced(500))


def test_churn_recovers_a_gaussian():
    recovers(named("heun", churn=20.0), process.SCHEDULES["edm"](1000).respaced(60, "karras"))
    recovers(named("heun", churn=20.0), process.SCHEDULES["variance_preserving"](1000).respaced(500))


def test_correctors_recover_a_gaussian():
    ladder = process.SCHEDULES["variance_exploding"](500)
    recovers(named("predictor_corrector"), ladder, copies=50)  # whose step size takes a sample of many numbers
    recovers(named("reverse_sde"), process.SCHEDULES["variance_preserving"](1000), rtol=0.08)
    recovers(named("langevin", corrections=100, step_size=2e-5), process.SCHEDULES["ncsn"](10), rtol=0.1)


def solution(schedule, x):
    """Where the ODE leads from x at the last level: along its quantile to the first level, and there to x_0."""
    scale = lambda a, s: np.sqrt(a**2 * STD**2 + s**2)
    ends = [(schedule.mean[place], schedule.noise[place]) for place in (-1, 0)]
    y = ends[1][0] * MEAN + (x - ends[0][0] * MEAN) / scale(*ends[0]) * scale(*ends[1])
    return exact(y, process.Level(0, 0, *ends[1]))


@pytest.mark.parametrize("name", ["variance_exploding", "edm", "sub_variance_preserving", "rectified_flow"])
@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("heun", 2), ("dpm_solver", 2), ("unipc", 2)])
def test_the_error_falls_at_the_stated_order(float64, name, sampler, order):
    full, keys = process.SCHEDULES[name](1000), jax.random.split(jax.random.key(0), 8)
    errors = []
    for steps in (40, 160):
        few = full.respaced(steps, "karras" if full.mean[-1] == 1 else "linspace")
        found = jax.jit(lambda few=few: samplers.sample(exact, named(sampler), few, keys, (2,)))()
        noise = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 0), (2,)))(keys)
        errors.append(np.abs(found - solution(few, few.prior * noise)).max())
    assert order - 0.25 < np.log2(errors[0] / errors[1]) / 2 < order + 1.5


def test_encoding_and_decoding_meet_as_steps_grow(float64):
    full = process.SCHEDULES["variance_preserving"](1000)
    x = MEAN + STD * np.random.default_rng(0).normal(size=(50, 2))
    errors = []
    for steps in (10, 40, 160):
        few = full.respaced(steps)
        noise = samplers.encode(exact, few, jnp.asarray(x))
        back = samplers.sample(exact, named("ddim"), few, jax.random.split(jax.random.key(0), 50), (2,), initial=noise)
        errors.append(np.abs(back - x).max())
    assert errors[0] > 2.5 * errors[1] > 6 * errors[2]
    np.testing.assert_allclose(noise.std(0), 1, atol=0.3)


def test_inpainting_keeps_its_part_and_the_rest_follows():
    """Of two dependent numbers one is given: the other has the conditional mean."""
    covariance = np.array([[0.25, 0.2], [0.2, 0.25]])
    values, vectors = np.linalg.eigh(covariance)

    def denoise(x, level):
        a, s = level.mean, level.noise
        gain = (vectors * (a * values / (a**2 * values + s**2))) @ vectors.T
        return (x.reshape(-1, 2) @ gain).reshape(x.shape)

    keys = jax.random.split(jax.random.key(0), 2000)
    known = jnp.full((2000, 1, 2, 1), 0.6)
    mask = jnp.array([0.0, 1.0]).reshape(1, 1, 2, 1)
    schedule = process.linear(1000).respaced(100)

    def mean(repeats):
        sampler = samplers.edited(named("ancestral"), samplers.inpainting(mask), known, repeats)
        x = jax.jit(lambda: samplers.sample(denoise, sampler, schedule, keys, (1, 2, 1)))()
        np.testing.assert_allclose(x[:, 0, 0], 0.6, rtol=1e-5)
        return x[:, 0, 1].mean()

    once, often = mean(1), mean(10)
    assert abs(often - 0.48) < 0.03
    assert abs(often - 0.48) < abs(once - 0.48)


def test_super_resolution_and_colourisation_keep_their_means():
    x, known = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 3))
    low = samplers.low_frequencies(2)(x, known)
    blocks = lambda x: x.reshape(3, 2, 2, 2, 2, 3).mean((2, 4))
    np.testing.assert_allclose(blocks(low), blocks(known))
    np.testing.assert_allclose(low - x, (low - x)[:, ::2, ::2].repeat(2, 1).repeat(2, 2))
    np.testing.assert_allclose(samplers.greys(x, known).mean(-1), known.mean(-1))


def test_the_vp_process_and_ddpm_agree(float64):
    """The chain of 1000 steps and its limit take the same noise to nearly the same samples."""
    keys, found = jax.random.split(jax.random.key(0), 50), []
    for name in ("linear", "variance_preserving"):
        few = process.SCHEDULES[name](1000).respaced(200, "linspace")
        found.append(samplers.sample(exact, named("heun"), few, keys, (2,)))
    np.testing.assert_allclose(found[0], found[1], atol=0.03)
    assert processes.EARLIEST < 1e-3
