"""Schedules against published values, steps against diffusers, samplers and bound against Gaussian closed forms."""

import pathlib
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from tests.goldens.make_classification import seeded_images
from training import diffusion as process
from training import processes
from training.errors import TrainingError
from training.tasks.diffusion import diffusion

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"


def test_linear_schedule():
    schedule = process.linear(1000)
    np.testing.assert_allclose(schedule.mean[[0, 499, 999]] ** 2, [0.9999, 0.0785872, 4.03583e-5], rtol=1e-5)
    np.testing.assert_allclose(schedule.moves.variance[1], 1.19920e-4, rtol=1e-5)
    variance = schedule.posterior_variance[[0, 1, 2, 999]]
    np.testing.assert_allclose(variance, [0, 5.4532e-5, 8.5489e-5, 0.0199999640], rtol=1e-4)
    bits = process.prior_term(np.ones(1), schedule) / np.log(2)
    np.testing.assert_allclose(bits, 2.911e-5, rtol=1e-3)


def test_cosine_schedule():
    schedule = process.cosine(1000)
    np.testing.assert_allclose(schedule.mean[[499, 999]] ** 2, [0.49384, 2.4288e-9], rtol=1e-4)
    np.testing.assert_allclose(schedule.moves.variance[0], 4.1284e-5, rtol=1e-4)
    np.testing.assert_allclose(process.cosine(4000).moves.variance[0], 9.8658e-6, rtol=1e-4)


def test_fewer_steps():
    schedule = process.linear(1000).respaced(10)
    np.testing.assert_array_equal(schedule.time, np.arange(0, 1000, 100))
    # Also a number that does not divide 1000 reaches up to where there is nothing but noise.
    np.testing.assert_array_equal(process.linear(1000).respaced(600).time[[0, 1, 2, 3, -1]], [0, 1, 3, 5, 998])
    np.testing.assert_allclose(np.cumprod(1 - schedule.moves.variance), schedule.mean**2)
    short = process.linear(100)
    np.testing.assert_allclose(np.log(short.mean[-1]), np.log(process.linear(1000).mean[-1]), rtol=0.1)


@pytest.mark.parametrize("target", process.TARGETS)
def test_targets_know_each_other(target):
    start, noise = np.random.default_rng(0).normal(size=(2, 5))
    target_of, start_of = process.TARGETS[target]
    for alpha_bar in (0.999, 0.5, 0.01):
        scales = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
        x = process.diffuse(start, noise, *scales)
        np.testing.assert_allclose(start_of(target_of(start, noise, *scales), x, *scales), start, rtol=1e-3)
        np.testing.assert_allclose(process.noise_of(x, start, *scales), noise, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "step", "target", "schedule"),
    [
        ("ancestral", process.ancestral_step, "noise", process.linear),
        ("ancestral_small", partial(process.ancestral_step, variance="small"), "noise", process.linear),
        ("ancestral_cosine", process.ancestral_step, "noise", process.cosine),
        ("ancestral_image", process.ancestral_step, "image", process.linear),
        ("ddim", process.ddim_step, "noise", process.linear),
        ("ddim_noisy", partial(process.ddim_step, eta=1.0), "noise", process.linear),
        ("ddim_velocity", process.ddim_step, "velocity", process.linear),
    ],
)
def test_steps_are_those_of_diffusers(name, step, target, schedule):
    golden = np.load(GOLDENS / "schedulers.npz")
    x = seeded_images(2, 4, 4, 3)
    output, noise = 0.3 * x[:, ::-1, ::-1, ::-1] + 0.1, x[::-1]
    few = schedule(1000).respaced(50)
    for time, expected in zip(golden["time"], golden[name], strict=True):
        (place,) = np.flatnonzero(few.time == time)
        move = jax.tree.map(lambda values, place=place: values[place], few.moves)
        start = few.clip(process.TARGETS[target][1](output, x, move.mean, move.noise))
        np.testing.assert_allclose(step(x, start, noise, move), expected, rtol=2e-3, atol=2e-4)


MEAN, STD = np.array([0.3, -0.2]), np.array([0.5, 0.1])


def posterior_start(x, time, a, s):
    """E[x_0 | x_t] for x_0 ~ N(MEAN, STD²): the exact denoiser."""
    return MEAN + a * STD**2 / (a**2 * STD**2 + s**2) * (x - a * MEAN)


@pytest.mark.parametrize("name", process.SCHEDULES)
@pytest.mark.parametrize(
    "step",
    [
        process.ancestral_step,
        partial(process.ancestral_step, variance="small"),
        process.ddim_step,
        partial(process.ddim_step, eta=1.0),
    ],
    ids=["ancestral", "ancestral small", "ddim", "ddim noisy"],
)
def test_samplers_recover_a_gaussian_by_every_process(name, step):
    recovers(step, process.SCHEDULES[name](1000))


def test_ddim_recovers_a_gaussian_in_half_of_the_steps():
    recovers(process.ddim_step, process.linear(1000).respaced(500))


def recovers(step, schedule):
    keys = jax.random.split(jax.random.key(0), 4000)
    draw = jax.jit(lambda keys: process.sample(posterior_start, step, schedule, keys, (2,)))
    x = np.asarray(draw(keys))
    np.testing.assert_allclose((x.mean(0) - MEAN) / STD, 0, atol=4 / 4000**0.5)
    np.testing.assert_allclose(x.std(0), STD, rtol=0.05)
    assert abs(np.corrcoef(x.T)[0, 1]) < 0.06


@pytest.mark.parametrize("variance", ["large", "small"])
def test_bound_of_a_gaussian(variance):
    """Σ_t E KL_t + E KL_T in closed form; the decoder's term by integration over the residual."""
    schedule, m, s = process.linear(1000), 0.3, 0.5
    a, before, beta = schedule.mean**2, schedule.moves.mean_before**2, schedule.moves.variance
    true = np.concatenate([schedule.posterior_variance[1:2], schedule.posterior_variance[1:]])
    model = {"small": true, "large": np.concatenate([true[:1], beta[1:]])}[variance]
    left = s**2 * (1 - a) / (a * s**2 + 1 - a)  # the variance of x_0 given x_t
    slope = np.sqrt(before) * beta / (1 - a)  # of the posterior mean in x_0
    expected = 0.5 * (np.log(model / true) + true / model - 1 + slope**2 * left / model)
    # Of the first step: the mean misses x_0 by N(0, left).
    grid = np.linspace(-8, 8, 4001)
    scale = np.sqrt(model[0])
    miss = -np.abs(grid) * np.sqrt(left[0])  # in the lower tail, which keeps its digits
    mass = scipy.stats.norm.cdf((miss + 1 / 255) / scale) - scipy.stats.norm.cdf((miss - 1 / 255) / scale)
    expected[0] = np.trapezoid(-np.log(mass) * scipy.stats.norm.pdf(grid), grid)

    random = np.random.default_rng(0)
    n = 4000
    start = m + s * random.normal(size=(n, 1))
    inside = np.abs(start[:, 0]) < 0.99  # beyond, the decoder's outermost bins are open
    for place in (0, 1, 10, 300, 999):
        index = np.full(n, place)
        x = process.diffuse(start, random.normal(size=(n, 1)), a[place] ** 0.5, (1 - a[place]) ** 0.5)
        gain = np.sqrt(a[place]) * s**2 / (a[place] * s**2 + 1 - a[place])
        estimate = m + gain * (x - np.sqrt(a[place]) * m)
        values = [jnp.asarray(v, jnp.float32) for v in (start, estimate, x)]
        term = np.asarray(process.bound_term(*values, index, schedule, variance))[:, 0]
        found = term[inside].mean() if place == 0 else term.mean()
        error = term.std() / n**0.5
        np.testing.assert_allclose(found, expected[place], atol=5 * error + 1e-6, err_msg=f"step {place}")
    prior = process.prior_term(start, schedule).mean()
    mean, spread = np.sqrt(a[-1]) * start, 1 - a[-1]
    np.testing.assert_allclose(prior, 0.5 * (spread + mean**2 - 1 - np.log(spread)).mean(), rtol=1e-4)


PROCESSES = {
    "variance preserving": processes.variance_preserving(),
    "sub-variance preserving": processes.sub_variance_preserving(),
    "variance exploding": processes.variance_exploding(),
    "rectified flow": processes.rectified_flow(),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_scales_and_coefficients_of_a_process_are_consistent(name):
    """a' = f a and (s²)' = 2 f s² + g², and at t = 1 only noise is left, as the prior has it."""
    with jax.enable_x64(True):
        p, times = PROCESSES[name], jnp.linspace(0.00037, 0.99, 200, dtype=jnp.float64)
        derivative = lambda f: jax.vmap(jax.grad(f))(times)
        drift, squared = p.drift(times), p.noise(times) ** 2
        np.testing.assert_allclose(derivative(p.mean), drift * p.mean(times), rtol=1e-7)
        expected = 2 * drift * squared + p.diffusion(times) ** 2
        np.testing.assert_allclose(derivative(lambda t: p.noise(t) ** 2), expected, rtol=1e-7)
        one = jnp.float64(1)
        np.testing.assert_allclose(p.noise(one), p.prior, rtol=1e-4)
        assert p.mean(one) / p.prior < 0.021
        assert p.range == (-1, 1)


def test_the_linear_schedule_is_the_variance_preserving_process_in_steps():
    linear, limit = process.linear(1000), process.in_steps(processes.variance_preserving(), 1000)
    np.testing.assert_allclose(linear.mean[100:900], limit.mean[100:900], rtol=0.06)
    np.testing.assert_allclose(linear.moves.variance[100:900], limit.moves.variance[100:900], rtol=0.02)


class Net(nn.Module):
    """A denoiser that is told everything and uses it."""

    conditional: bool = False

    @property
    def conditions(self):
        return ("label",) if self.conditional else ()

    num_classes: int = 3

    @property
    def null(self):
        return self.num_classes

    @nn.compact
    def __call__(self, x, time, train, label=None):
        scale = self.param("scale", nn.initializers.constant(0.5), ())
        shift = self.param("shift", nn.initializers.normal(1.0), (self.num_classes + 1,))
        x = scale * x + 0.0003 * time[:, None, None, None]
        return x + shift[label][:, None, None, None] if self.conditional else x


SHAPE = (4, 4, 1)
BATCH = {
    "image": jnp.asarray(np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1)) / 127.5 - 1, jnp.float32),
    "label": jnp.array([0, 1, 2, 0, 1, -1], jnp.int32),
    "id": jnp.arange(6, dtype=jnp.int32),
}


def make(conditional=False, **keys):
    keys = dict(steps=20, sampling_steps=5, bound_terms=4) | keys
    task = diffusion({"model": Net(conditional)}, shape=SHAPE, scale="symmetric", **keys)
    return task, *task.init(jax.random.key(0), BATCH)


def test_complete_bound_visits_every_step():
    task, params, stats = make(bound_terms=20)
    outputs = task.predict(params, stats, BATCH, jax.random.key(0), {})
    schedule = process.linear(20)

    @jax.jit
    def by_hand(key):
        total = process.prior_term(BATCH["image"], schedule)
        for t in range(20):
            noise = jax.random.normal(jax.random.fold_in(key, t), (6, 4, 4, 1))
            scales = schedule.scales(t, noise.dtype)
            x = process.diffuse(BATCH["image"], noise, *scales)
            output = Net().apply({"params": params["model"]}, x, jnp.full(6, t), train=False)
            start = schedule.clip(process.TARGETS["noise"][1](output, x, *scales))
            total += process.bound_term(BATCH["image"], start, x, jnp.full(6, t), schedule)
        return total.sum() / (6 * 16 * jnp.log(2))

    estimates = [by_hand(jax.random.key(seed)) for seed in range(30)]
    assert outputs["bits_per_dim"].mean() == pytest.approx(float(np.mean(estimates)), abs=4 * float(np.std(estimates)))
    part = make(bound_terms=4)[0]
    predict = jax.jit(lambda key: part.predict(params, stats, BATCH, key, {})["bits_per_dim"].mean())
    several = [predict(jax.random.key(seed)) for seed in range(30)]
    assert np.mean(several) == pytest.approx(float(np.mean(estimates)), rel=0.2)  # unbiased, but noisier


@pytest.mark.parametrize("target", process.TARGETS)
def test_loss_is_the_mean_square(target):
    task, params, stats = make(target=target)
    value, weight, _ = task.loss("model", params, stats, BATCH, jax.random.key(0), {}, {"task": {"drop_label": 0.1}})
    backwards = {name: x[::-1] for name, x in BATCH.items()}
    again, *_ = task.loss("model", params, stats, backwards, jax.random.key(0), {}, {"task": {"drop_label": 0.1}})
    assert weight == 6 and 0.01 < value / 6 < 5
    np.testing.assert_allclose(value, again, rtol=1e-5)  # noise follows the example


def test_labels_are_dropped():
    task, params, stats = make(conditional=True)
    cost = lambda share, batch=BATCH: task.loss(
        "model", params, stats, batch, jax.random.key(0), {}, {"task": {"drop_label": share}}
    )[0]
    unlabelled = {**BATCH, "label": jnp.full(6, -1)}
    np.testing.assert_allclose(cost(1.0), cost(0.0, unlabelled), rtol=1e-6)
    assert cost(0.0) != cost(1.0)


def test_guidance():
    ids = jnp.arange(6, dtype=jnp.int32)
    images = {}
    for w in (0.0, 1.0, 1.0001):
        task, params, stats = make(conditional=True, guidance=w)
        images[w] = jax.jit(partial(task.makes.draw, params, stats, frozen={}))(jax.random.key(0), {"id": ids})["image"]
    np.testing.assert_allclose(images[1.0], images[1.0001], atol=1e-2)
    assert np.abs(images[0.0] - images[1.0]).max() > 0.01
    # Guided by nothing, all classes are one.
    task, params, stats = make(conditional=True, guidance=0.0)
    same = task.makes.draw(params, stats, jax.random.key(0), {"id": ids, "label": jnp.full(6, 2)}, {})
    np.testing.assert_allclose(same["image"], images[0.0], atol=1e-5)
    # The weight is an option of what is made, too.
    free = make(conditional=True)[0].makes.draw(params, stats, jax.random.key(0), {"id": ids}, {}, guidance=0.0)
    np.testing.assert_allclose(free["image"], images[0.0], atol=1e-5)


@pytest.mark.parametrize("sampler", ["ancestral", "ddim"])
def test_samples_follow_their_number(sampler):
    task, params, stats = make(sampler=sampler)

    def sample(ids, **static):
        draw = partial(task.makes.draw, params, stats, jax.random.key(0), frozen={}, **static)
        return jax.jit(draw)({"id": jnp.array(ids)})["image"]

    images = sample([0, 1, 2, 3])
    assert images.shape == (4, 4, 4, 1) and np.isfinite(images).all()
    np.testing.assert_allclose(images[2:], sample([2, 3]), rtol=1e-5, atol=1e-6)
    assert not np.allclose(images, sample([0, 1, 2, 3], steps=20))
    with pytest.raises(TrainingError, match="21 sampling steps are not between 1 and the 20 of training"):
        sample([0], steps=21)


def test_latents_have_no_range_and_no_bound():
    """Any scale and any size; what is denoised is not clipped."""
    make_latents = lambda clip: diffusion(
        {"model": Net()},
        shape=SHAPE,
        scale="symmetric" if clip else "standardise",
        clip=clip,
        steps=20,
        bound_terms=4,
        sampling_steps=5,
        sampler="ddim",
    )
    latents = {**BATCH, "image": 5 * BATCH["image"]}
    draws = {}
    for clip in (False, True):
        task = make_latents(clip)
        params, stats = task.init(jax.random.key(0), latents)
        outputs = task.predict(params, stats, latents, jax.random.key(0), {})
        assert set(outputs) == set(task.metrics) == ({"loss", "bits_per_dim"} if clip else {"loss"})
        draws[clip] = task.makes.draw(params, stats, jax.random.key(0), {"id": jnp.arange(4)}, {})["image"]
    assert np.abs(draws[True]).max() <= 1 < np.abs(draws[False]).max()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (dict(scale="unit"), "data.scale='symmetric', not 'unit'"),
        (dict(schedule="cosin"), "did you mean 'cosine'"),
        (dict(target="epsilon"), "task.target='epsilon' is unknown"),
        (dict(sampler="ddpm"), "did you mean 'ddim'"),
        (dict(variance="learned"), "task.variance='learned'"),
        (dict(guidance=2.0), "not conditional, so nothing guides it"),
        (dict(steps=10, sampling_steps=11), "task.sampling_steps=11 is not between 1 and the 10 steps of training"),
        (dict(bound_terms=0), "task.bound_terms=0"),
        (dict(sampler="ddim", eta=1.5), "task.eta=1.5 is not between 0 and 1"),
        (dict(schedule="rectified_flow"), "is noise alone: task.target='velocity' or 'image'"),
    ],
)
def test_bad_pages_are_one_clear_line(keys, message):
    keys = dict(scale="symmetric") | keys
    with pytest.raises(TrainingError, match=message):
        diffusion({"model": Net()}, shape=SHAPE, **keys)


def test_guidance_needs_labels_that_were_dropped():
    with pytest.raises(TrainingError, match=r"guidance=2.0 needs task.drop_label"):
        diffusion({"model": Net(conditional=True)}, shape=SHAPE, scale="symmetric", guidance=2.0, drop_label=0.0)
