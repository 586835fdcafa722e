import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from training import SCHEDULES, schedules
from training.optimizers import schedule_defaults

STEPS = 1000
AT = np.array([0, 1, 2, 49, 50, 51, 99, 100, 101, 299, 300, 301, 500, 699, 700, 998, 999, 1000, 1001, 5000])


def warm(decay, peak, warmup_steps):
    """optax's own way to warm up before any schedule."""
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup_steps), decay], [warmup_steps])


PAIRS = {
    "constant": (dict(peak=0.3), optax.constant_schedule(0.3)),
    "constant, warm": (dict(peak=0.3, warmup_steps=50), optax.warmup_constant_schedule(0.0, 0.3, 50)),
    "step": (
        dict(peak=0.1, boundaries=(300, 700), factor=0.2),
        # optax takes the step after the boundary for the first one: see test_the_boundary_itself.
        lambda t: optax.piecewise_constant_schedule(0.1, {300: 0.2, 700: 0.2})(t),
    ),
    "step, none": (dict(peak=0.1), optax.constant_schedule(0.1)),
    "exponential": (
        dict(peak=0.1, factor=0.94, every=30),
        optax.exponential_decay(0.1, transition_steps=30, decay_rate=0.94),
    ),
    "exponential, warm": (
        dict(peak=0.1, factor=0.94, every=30, warmup_steps=50),
        optax.warmup_exponential_decay_schedule(0.0, 0.1, 50, 30, 0.94),
    ),
    "linear": (dict(peak=0.1, end=0.01), optax.linear_schedule(0.1, 0.01, STEPS)),
    "linear, warm": (
        dict(peak=0.1, end=0.01, warmup_steps=50),
        warm(optax.linear_schedule(0.1, 0.01, STEPS - 50), 0.1, 50),
    ),
    "polynomial": (
        dict(peak=0.1, end=0.01, power=0.9),
        optax.polynomial_schedule(0.1, 0.01, 0.9, STEPS),
    ),
    "cosine": (dict(peak=0.1), optax.cosine_decay_schedule(0.1, STEPS)),
    "cosine, warm": (
        dict(peak=0.1, end=0.003, warmup_steps=100),
        optax.warmup_cosine_decay_schedule(0.0, 0.1, 100, STEPS, 0.003),
    ),
    "one_cycle": (
        dict(peak=0.4, pct_start=0.3, div_factor=20.0, final_div_factor=100.0),
        optax.cosine_onecycle_schedule(STEPS, 0.4, 0.3, 20.0, 100.0),
    ),
}


@pytest.mark.parametrize("case", PAIRS)
@pytest.mark.parametrize("x64", [False, True])
def test_equals_optax_with_every_number_traced(case, x64):
    keywords, reference = PAIRS[case]
    with jax.enable_x64(x64):
        schedule = getattr(schedules, case.partition(",")[0])
        compiled = jax.jit(jax.vmap(lambda t, kw: schedule(t, steps=STEPS, **kw), (0, None)))
        ours = compiled(jnp.asarray(AT), keywords)
        theirs = [reference(jnp.asarray(t)) for t in AT]
        np.testing.assert_allclose(ours, theirs, rtol=1e-10 if x64 else 1e-5, atol=1e-13 if x64 else 1e-8)


def test_the_boundary_itself_is_the_first_step_at_the_lower_rate():
    rate = [float(schedules.step(t, steps=9, peak=1.0, boundaries=(3, 6), factor=0.1)) for t in range(9)]
    np.testing.assert_allclose(rate, [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01], rtol=1e-6)


def test_rsqrt_is_the_transformers_schedule():
    w, d_model = 400, 512
    t = np.arange(1, 3000)
    noam = d_model**-0.5 * np.minimum(t**-0.5, t * w**-1.5)  # Vaswani et al. 2017, eq. 3
    ours = schedules.rsqrt(t, steps=3000, peak=(d_model * w) ** -0.5, warmup_steps=w)
    np.testing.assert_allclose(ours, noam, rtol=1e-5)


def test_rsqrt_without_warm_up_begins_at_the_peak():
    np.testing.assert_allclose(schedules.rsqrt(np.array([0, 1, 4]), steps=9, peak=1.0, warmup_steps=0), [1, 1, 0.5])


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_sweep_over_every_number_is_one_program(name):
    schedule = getattr(schedules, name)
    keywords = {k: v for k, v in schedule_defaults(name).items() if v != ()}
    trials = {k: jnp.array([v, 2 * v], float) for k, v in keywords.items()}
    swept = jax.jit(jax.vmap(lambda kw: schedule(jnp.int32(7), steps=100, **kw)))(trials)
    alone = [schedule(7, steps=100, **{k: n * v for k, v in keywords.items()}) for n in (1, 2)]
    np.testing.assert_allclose(swept, alone, rtol=1e-6)
