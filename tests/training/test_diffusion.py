"""Schedules against published values, processes against their formulas, the bound against Gaussian closed forms."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from training import diffusion as process
from training import processes
from training.errors import TrainingError
from training.tasks.diffusion import diffusion, guided


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
    np.testing.assert_array_equal(schedule.told, np.arange(0, 1000, 100))
    # Also a number that does not divide 1000 reaches up to where there is nothing but noise.
    np.testing.assert_array_equal(process.linear(1000).respaced(600).told[[0, 1, 2, 3, -1]], [0, 1, 3, 5, 998])
    np.testing.assert_array_equal(process.linear(1000).respaced(10, "trailing").told, np.arange(99, 1000, 100))
    np.testing.assert_array_equal(process.linear(1000).respaced(10, "linspace").told, np.arange(0, 1000, 111))
    np.testing.assert_allclose(np.cumprod(1 - schedule.moves.variance), schedule.mean**2)
    short = process.linear(100)
    np.testing.assert_allclose(np.log(short.mean[-1]), np.log(process.linear(1000).mean[-1]), rtol=0.1)


@pytest.mark.parametrize("target", process.TARGETS)
def test_targets_give_x_0_and_noise_and_move_by_their_slope(target):
    start, noise = np.random.default_rng(0).normal(size=(2, 5))
    target_of, start_of, slope, _ = process.TARGETS[target]
    for alpha_bar in (0.999, 0.5, 0.01):
        scales = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
        x = process.diffuse(start, noise, *scales)
        np.testing.assert_allclose(start_of(target_of(start, noise, *scales), x, *scales), start, rtol=1e-3)
        np.testing.assert_allclose(process.noise_of(x, start, *scales), noise, rtol=1e-3)
        # At a fixed x_t another x_0 is another noise, and the target moves by the slope.
        other = start + 0.1
        moved = target_of(other, process.noise_of(x, other, *scales), *scales) - target_of(start, noise, *scales)
        np.testing.assert_allclose(np.abs(moved), 0.1 * slope(*map(jnp.asarray, scales)), rtol=2e-3)


def test_preconditioned_inputs_and_targets_have_unit_variance():
    """Karras et al. 2022, appendix B.6, for data of their standard deviation ½."""
    start, noise = np.random.default_rng(0).normal(size=(2, 20_000)) * [[0.5], [1]]
    target_of, _, _, read = process.TARGETS["preconditioned"]
    for a, s in ((1.0, 0.01), (1.0, 0.5), (1.0, 20.0), (0.3, 0.7)):
        assert np.std(read(process.diffuse(start, noise, a, s), a, s)) == pytest.approx(1, rel=0.02)
        assert np.std(target_of(start, noise, a, s)) == pytest.approx(1, rel=0.02)


def test_min_snr_weighs_the_image_alike_for_every_target():
    """Hang et al. 2023, eq. 9, section 3.4: min(SNR, 5) for x_0, its quotient by SNR for ε and by SNR + 1 for v."""
    alpha_bar = jnp.array([0.99, 0.9, 0.5, 0.1])
    a, s, snr = jnp.sqrt(alpha_bar), jnp.sqrt(1 - alpha_bar), alpha_bar / (1 - alpha_bar)
    clipped = jnp.minimum(snr, 5)
    for target, expected in {"image": clipped, "noise": clipped / snr, "velocity": clipped / (snr + 1)}.items():
        found = process.WEIGHTINGS["min_snr"](a, s, process.TARGETS[target].slope(a, s))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


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
    "edm": processes.edm(),
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
        np.testing.assert_allclose(p.time(p.noise(times) / p.mean(times)), times, rtol=1e-7)
        law = p.law or (lambda u: u)
        assert np.all(np.diff(law(jnp.linspace(0.001, 0.999, 50))) > 0)


def test_levels_of_edm_are_the_papers():
    """Karras et al. 2022, table 1: σ from 80 to 0.002, ρ = 7, told as ¼ ln σ; in training ln σ ~ N(−1.2, 1.2²)."""
    schedule = process.SCHEDULES["edm"](1000)
    few = schedule.respaced(18, "karras")
    ranks = np.arange(18)[::-1] / 17
    expected = (80 ** (1 / 7) + ranks * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(few.noise, expected, rtol=1e-6)
    np.testing.assert_allclose(few.told, np.log(expected) / 4, rtol=1e-6)
    np.testing.assert_array_equal(few.mean, 1)
    _, drawn = schedule.draw(jax.random.split(jax.random.key(0), 20_000))
    logs = np.log(drawn.noise)
    np.testing.assert_allclose([logs.mean(), logs.std()], [-1.2, 1.2], atol=0.03)


def test_logit_normal_times_are_in_the_middle():
    _, drawn = process.SCHEDULES["rectified_flow_logit_normal"](1000).draw(jax.random.split(jax.random.key(0), 20_000))
    logits = np.log(drawn.t) - np.log1p(-drawn.t)
    np.testing.assert_allclose([logits.mean(), logits.std()], [0, 1], atol=0.03)
    np.testing.assert_allclose(drawn.told, 1000 * drawn.t - 1, atol=1e-3)


@pytest.mark.parametrize("name", process.SCHEDULES)
def test_training_visits_the_levels_of_its_schedule(name):
    """Between the steps a process has the levels of the process; at a step, those of the step."""
    schedule = process.SCHEDULES[name](1000)
    index, drawn = schedule.draw(jax.random.split(jax.random.key(0), 500))
    assert index.min() >= 0 and index.max() <= 999 and len(np.unique(index)) > 200
    if schedule.discrete:
        np.testing.assert_allclose(drawn.noise, schedule.noise[index], rtol=1e-6)
    else:
        np.testing.assert_allclose(drawn.told, schedule.at(drawn.t).told)
    at_steps = schedule.at(jnp.asarray(schedule.t, jnp.float32))
    for found, expected in zip(at_steps, schedule.levels, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


def test_ladder_of_ncsn():
    """Song & Ermon 2019, section 5: a geometric sequence of 10 levels from 1 to 0.01."""
    np.testing.assert_allclose(process.SCHEDULES["ncsn"](10).noise, np.geomspace(0.01, 1, 10), rtol=1e-6)
    np.testing.assert_allclose(process.SCHEDULES["ncsnv2"](232).noise, np.geomspace(0.01, 50, 232), rtol=1e-6)


def test_scaled_linear_schedule_ends_with_some_signal():
    np.testing.assert_allclose(process.scaled_linear(1000).mean[-1] ** 2, 0.00466010, rtol=1e-5)


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
    outputs: int = 1

    @property
    def null(self):
        return self.num_classes

    @nn.compact
    def __call__(self, x, time, train, label=None):
        scale = self.param("scale", nn.initializers.constant(0.5), ())
        shift = self.param("shift", nn.initializers.normal(1.0), (self.num_classes + 1,))
        x = scale * x + 0.0003 * time[:, None, None, None]
        x = jnp.concatenate([x] * self.outputs, -1)
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
            start = schedule.clip(process.TARGETS["noise"].start(output, x, *scales))
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


def test_guidance_of_weight_0_and_1_is_one_of_the_models():
    """Exactly: the network without a class, and that of the class."""
    net = Net(conditional=True)
    images, label = BATCH["image"], jnp.array([0, 1, 2, 0, 1, 2])
    variables = net.init(jax.random.key(0), images, jnp.zeros(6), train=False, label=label)
    level = process.Level(*jnp.full((4, 6), 0.5))
    evaluate = lambda x, level, label: net.apply(variables, x, level.told, train=False, label=label)
    of = lambda weight: np.asarray(guided(evaluate, images, level, label, weight, net))
    np.testing.assert_array_equal(of(0.0), evaluate(images, level, jnp.full(6, net.null)))
    np.testing.assert_array_equal(of(1.0), evaluate(images, level, label))
    assert np.abs(of(2.0) - (2 * of(1.0) - of(0.0))).max() < 1e-5


def test_guidance_applies_in_its_interval():
    condition = {"id": jnp.arange(6, dtype=jnp.int32)}

    def images(**keys):
        task, params, stats = make(conditional=True, sampler="ddim", **keys)
        return task.makes.draw(params, stats, jax.random.key(0), condition, {})["image"]

    always, never = images(guidance=3.0), images(guidance=1.0)
    np.testing.assert_allclose(images(guidance=3.0, guidance_interval=(0.0, 1.1)), always, atol=1e-5)
    np.testing.assert_allclose(images(guidance=3.0, guidance_interval=(1.1, 1.2)), never, atol=1e-5)
    some = images(guidance=3.0, guidance_interval=(0.3, 0.7))
    assert np.abs(some - always).max() > 1e-3 and np.abs(some - never).max() > 1e-3


def test_learned_variance_has_the_bound_in_its_loss():
    """L_hybrid = L_simple + λ L_vlb, whose mean has no gradient: Nichol & Dhariwal 2021, section 3.1."""
    task = diffusion(
        {"model": Net(outputs=2)}, shape=SHAPE, scale="symmetric", steps=20, sampling_steps=5, variance="learned"
    )
    params, stats = task.init(jax.random.key(0), BATCH)
    hyper = {"task": {"drop_label": 0.0}}
    cost = lambda task, params: task.loss("model", params, stats, BATCH, jax.random.key(1), {}, hyper)[0]
    plain = make()[0]
    assert cost(task, params) > cost(plain, params)
    assert set(task.predict(params, stats, BATCH, jax.random.key(0), {})) == {"loss", "bits_per_dim"}
    images = task.makes.draw(params, stats, jax.random.key(0), {"id": jnp.arange(3)}, {})["image"]
    assert images.shape == (3, 4, 4, 1) and np.isfinite(images).all()
    with pytest.raises(TrainingError, match=r"needs 2 outputs for each pixel of 1 channels, the network has 1"):
        make(variance="learned")


def test_learned_variance_is_between_the_fixed_ones():
    schedule, random = process.linear(1000), np.random.default_rng(0)
    start, estimate, x = (jnp.asarray(v, jnp.float32) for v in random.uniform(-1, 1, (3, 4, 2)))
    index = np.array([1, 10, 300, 999])
    for mixture, variance in ((-1.0, "small"), (1.0, "large")):
        found = process.bound_term(start, estimate, x, index, schedule, "learned", jnp.full((4, 2), mixture))
        np.testing.assert_allclose(found, process.bound_term(start, estimate, x, index, schedule, variance), rtol=1e-4)


@pytest.mark.parametrize(
    ("schedule", "keys"),
    {
        "linear": {},
        "cosine": dict(target="velocity", sampler="unipc"),
        "variance_preserving": dict(sampler="dpm_solver"),
        "sub_variance_preserving": dict(sampler="ddim", spacing="linspace"),
        "variance_exploding": dict(sampler="predictor_corrector", spacing="karras"),
        "edm": dict(target="preconditioned", sampler="heun", spacing="karras", churn=2.0),
        "rectified_flow": dict(target="flow", sampler="euler", spacing="trailing"),
        "ncsn": dict(sampler="langevin", weighting="min_snr"),
        "scaled_linear": dict(sampler="reverse_sde"),
    }.items(),
)
def test_every_process_trains_predicts_and_samples(schedule, keys):
    task, params, stats = make(schedule=schedule, flow_steps=5, **keys)
    value, weight, _ = task.loss("model", params, stats, BATCH, jax.random.key(0), {}, {"task": {"drop_label": 0.1}})
    assert 0.01 < value / weight < 5
    outputs = jax.jit(lambda batch: task.predict(params, stats, batch, jax.random.key(0), {}))(BATCH)
    assert set(outputs) == {"loss", "bits_per_dim", "flow_bits_per_dim"} == set(task.metrics)
    assert all(np.isfinite(x).all() for x in outputs.values())
    images = task.makes.draw(params, stats, jax.random.key(0), {"id": jnp.arange(3)}, {})["image"]
    assert np.isfinite(images).all() and np.abs(images).max() <= 1


def test_images_are_edited():
    task, params, stats = make(sampler="ancestral")
    image = BATCH["image"]
    condition = {"id": jnp.arange(6, dtype=jnp.int32), "image": image}
    mask = jnp.zeros((6, 4, 4)).at[:, :2].set(1)
    draw = lambda condition, **options: np.asarray(
        jax.jit(lambda c: task.makes.draw(params, stats, jax.random.key(0), c, {}, **options))(condition)["image"]
    )
    painted = draw({**condition, "mask": mask}, repeats=2)
    np.testing.assert_allclose(painted[:, 2:], image[:, 2:], atol=1e-6)
    assert np.abs(painted[:, :2] - image[:, :2]).max() > 0.1
    low = lambda x: np.reshape(x, (6, 2, 2, 2, 2)).mean((2, 4))
    np.testing.assert_allclose(low(draw(condition, factor=2)), low(image), atol=1e-5)
    away = lambda **options: np.abs(draw(condition, steps=20, **options) - image).mean()
    assert away(strength=0.05) < 0.5 * away(strength=1.0)
    assert away(sampler="ddim", invert=True) < 0.5 * away(sampler="ddim")


@pytest.mark.parametrize(
    ("condition", "options", "message"),
    [
        ({}, dict(grey=True), "grey keeps a part of an image: give one"),
        ({"image"}, dict(factor=3), "factor=3 does not divide the sides of 4×4"),
        ({"image"}, dict(factor=2, grey=True), "factor and grey keep different parts"),
        ({"image"}, dict(strength=0.0), "strength=0.0 is not above 0"),
        ({"image", "mask"}, {}, "the mask is of 5×4 pixels, the image of 4×4"),
        ({}, dict(sampler="hein"), "did you mean 'heun'"),
        ({}, dict(repeats=0), "repeats=0 is less than 1"),
        ({"image"}, dict(repeats=2), "repeats undoes steps that keep a part"),
        ({}, dict(strength=0.5), "strength and invert begin with an image"),
        ({"image"}, dict(grey=True, sampler="unipc"), "sampler='unipc' goes on from its own earlier steps"),
        ({}, dict(spacing="middle"), "spacing='middle' is unknown"),
    ],
)
def test_bad_requests_are_one_clear_line(condition, options, message):
    task, params, stats = make()
    arrays = {"image": BATCH["image"], "mask": jnp.ones((6, 5, 4))}
    asked = {"id": jnp.arange(6, dtype=jnp.int32)} | {name: arrays[name] for name in condition}
    with pytest.raises(TrainingError, match=message):
        task.makes.draw(params, stats, jax.random.key(0), asked, {}, **options)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (dict(scale="unit"), "data.scale='symmetric', not 'unit'"),
        (dict(schedule="cosin"), "did you mean 'cosine'"),
        (dict(target="epsilon"), "task.target='epsilon' is unknown"),
        (dict(sampler="ddmi"), "did you mean 'ddim'"),
        (dict(variance="leaned"), "did you mean 'learned'"),
        (dict(variance="learned", schedule="edm"), "between those of discrete steps"),
        (dict(spacing="karas"), "did you mean 'karras'"),
        (dict(spacing="karras", schedule="rectified_flow", target="flow"), "ends with some of the image"),
        (dict(weighting="min-snr"), "did you mean 'min_snr'"),
        (dict(sampler="reverse_sde", schedule="rectified_flow", target="flow"), "needs a drift, which is infinite"),
        (dict(guidance=2.0), "not conditional, so nothing guides it"),
        (dict(steps=10, sampling_steps=11), "task.sampling_steps=11 is not between 1 and the 10 steps of training"),
        (dict(bound_terms=0), "task.bound_terms=0"),
        (dict(flow_steps=1), "task.flow_steps=1 is neither 0 nor at least 2"),
        (dict(guidance_interval=(0.5, 0.2)), "is not an interval of times"),
        (dict(corrections=-1), "task.corrections=-1 is less than 0"),
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
