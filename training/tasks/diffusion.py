"""Denoising diffusion: a network that removes noise, applied again and again.

An example costs the squared error at one random step t, averaged over pixels,

    ℓ = mean (target(x_0, ε) − f(x_t, t))²,   x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε          Ho et al. 2020, eq. 14

and classifier-free guidance with weight w replaces f(class) by f(∅) + w (f(class) − f(∅)): w = 1 is the plain
conditional network, w = 0 the unconditional one (Ho & Salimans 2022, whose own weight is w − 1).
"""

import dataclasses
import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import diffusion as process
from training import metrics, views
from training.errors import TrainingError, check, choose
from training.likelihoods import total
from training.losses import per_example, squared_error
from training.task import (
    Condition,
    Makes,
    Task,
    apply_in_training,
    conditions,
    example_keys,
    init_network,
    sample_labels,
    stream,
    trained,
)


def diffusion(
    networks: dict[str, nn.Module],
    *,
    shape: tuple[int, ...],
    scale: str,
    schedule: str = "linear",
    steps: int = 1000,
    target: str = "noise",
    drop_label: float = 0.1,
    clip: bool = True,
    sampler: str = "ancestral",
    sampling_steps: int = 1000,
    eta: float = 0.0,
    variance: str = "large",
    guidance: float = 1.0,
    bound_terms: int = 10,
) -> Task:
    """Trains `networks["model"]`, (x_t [B, H, W, C], time [B], train, label) -> [B, H, W, C].

    Predictions, per example: `loss`, averaged over `bound_terms` random steps; and, of images, `bits_per_dim`, the
    variational bound. Its sum over steps is estimated from one step in each of `bound_terms` equal parts; with
    `bound_terms` = `steps` it is complete.

    Args:
      shape: (H, W, C) of what is denoised, as the network sees it.
      scale: data.scale; images that are clipped must be "symmetric".
      schedule: DDPM's "linear" or "cosine"; or in T steps "variance_preserving", "sub_variance_preserving",
        "variance_exploding" or "rectified_flow".
      steps: T of training.
      target: what the network predicts: "noise", "image" or "velocity".
      drop_label: the share of labels that are hidden from a conditional network in training.
      clip: whether denoised values are clipped to [-1, 1], the range of images. False: data without bounds, such as
        latents, for which there is no bound in bits.
      sampler: "ancestral" or "ddim".
      sampling_steps: how many of the steps a sample takes.
      eta: η of ddim; 1 is as noisy as the ancestral sampler with small variance.
      variance: of the reverse process: "large" (β) or "small" (β̃).
      guidance: w.
      bound_terms: steps that are evaluated for an example.
    """
    model = networks["model"]
    conditional = "label" in conditions(model)
    full = choose(process.SCHEDULES, "task.schedule", schedule)(steps)
    full = dataclasses.replace(full, range=process.IMAGES if clip else None)
    target_of, start_of = choose(process.TARGETS, "task.target", target)
    samplers = {
        "ancestral": partial(process.ancestral_step, variance=variance),
        "ddim": partial(process.ddim_step, eta=eta),
    }
    step_back = choose(samplers, "task.sampler", sampler)
    check(("large", "small"), "task.variance", variance)
    if clip and scale != "symmetric":
        raise TrainingError(
            f"diffusion clips images to [-1, 1]: data.scale='symmetric', not {scale!r}, or task.clip=False"
        )
    _check_guidance(guidance, drop_label, conditional)
    for name, number in (("sampling_steps", sampling_steps), ("bound_terms", bound_terms)):
        if not 1 <= number <= steps:
            raise TrainingError(f"task.{name}={number} is not between 1 and the {steps} steps of training")
    if not 0 <= eta <= 1:
        raise TrainingError(f"task.eta={eta} is not between 0 and 1")
    if target == "noise" and not full.mean[-1]:
        raise TrainingError(
            f"at the end of task.schedule={schedule!r} is noise alone: task.target='velocity' or 'image'"
        )

    def evaluate(params, stats, x, time, label):
        """The network's output, not in training; a label where it is conditional."""
        label = {"label": label} if conditional else {}
        return model.apply({"params": params["model"], **stats["model"]}, x, time, train=False, **label)

    def labels(batch):
        """Labels for a conditional network; the null label where an example has none."""
        return jnp.where(batch["label"] >= 0, batch["label"], model.null) if conditional else None

    def init(key, batch):
        params, stats = init_network(model, key, batch["image"][:1], jnp.zeros(1, jnp.int32))
        return {"model": params}, {"model": stats}

    def loss(player, params, stats, batch, key, frozen, hyper):
        start, keys = batch["image"], lambda name: example_keys(stream(key, name), batch)
        index = jax.vmap(lambda key: jax.random.randint(key, (), 0, steps))(keys("step"))
        x, noise, scales = noised(full, keys("noise"), index, start)
        label = {}
        if conditional:
            share = hyper["task"]["drop_label"]
            drop = jax.vmap(lambda key: jax.random.bernoulli(key, share))(keys("drop"))
            label = {"label": jnp.where(drop, model.null, labels(batch))}
        network = trained(networks, hyper)["model"]
        output, moved = apply_in_training(network, params["model"], stats["model"], key, batch, x, index, **label)
        values = per_example(squared_error(output, target_of(start, noise, *scales)))
        return values.sum(), jnp.asarray(len(values), values.dtype), ({"model": moved}, {})

    def predict(params, stats, batch, key, frozen):
        start, label = batch["image"], labels(batch)
        keys = example_keys(stream(key, "bound"), batch)

        def term(number):
            """The simple loss and the bound's term at a step of part `number` of the schedule."""
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
            low, high = number * steps // bound_terms, (number + 1) * steps // bound_terms
            index = jax.vmap(lambda key: jax.random.randint(stream(key, "step"), (), low, high))(own)
            x, noise, scales = noised(full, jax.vmap(partial(stream, name="noise"))(own), index, start)
            output = evaluate(params, stats, x, index, label)
            simple = per_example(squared_error(output, target_of(start, noise, *scales)))
            if not clip:
                return simple, jnp.zeros_like(simple)
            estimate = full.clip(start_of(output, x, *scales))
            nats = process.bound_term(start, estimate, x, index, full, variance)
            return simple, (high - low) * total(nats)

        simple, nats = jax.lax.map(term, jnp.arange(bound_terms))
        if not clip:
            return {"loss": simple.mean(0)}
        nats = nats.sum(0) + total(process.prior_term(start, full))
        return {"loss": simple.mean(0), "bits_per_dim": nats / (math.prod(start.shape[1:]) * math.log(2))}

    def draw(params, stats, key, condition, frozen, *, steps: int = sampling_steps, guidance: float = guidance):
        """Images of the classes `condition["label"]` where given, in `steps` steps, guided by the weight `guidance`."""
        if not 1 <= steps <= len(full.time):
            raise TrainingError(f"{steps} sampling steps are not between 1 and the {len(full.time)} of training")
        _check_guidance(guidance, drop_label, conditional)
        label = sample_labels(model, condition)

        def denoise(x, time, *scales):
            output = guided(partial(evaluate, params, stats), x, jnp.full(len(x), time), label, guidance, model)
            return full.clip(start_of(output, x, *scales))

        keys = example_keys(key, condition)
        return {"image": process.sample(denoise, step_back, full.respaced(steps), keys, shape)}

    measures = {"loss": metrics.mean("loss", "loss", "min", scale="log")}
    if clip:
        measures["bits_per_dim"] = metrics.mean("bits_per_dim", "bits_per_dim", "min", "bits/dim")
    return Task(
        players=("model",),
        needs=("label",) if conditional else (),
        init=init,
        loss=loss,
        predict=predict,
        metrics=measures,
        numbers=("drop_label",),
        best="loss",
        makes=Makes(
            draw,
            given={"label": Condition("label")} if conditional else {},
            options={"steps": sampling_steps, "guidance": guidance},
        ),
        views=(views.image(), views.label()),
    )


def noised(schedule: process.Schedule, keys: jax.Array, index: jax.Array, start: jax.Array) -> tuple:
    """(x_t, ε, (a, s)) of examples x_0 [B, ...] at their steps `index` [B], each with its own key of `keys` [B]."""
    noise = jax.vmap(lambda key: jax.random.normal(key, start.shape[1:], start.dtype))(keys)
    scales = schedule.scales(index, start.dtype, start.ndim)
    return process.diffuse(start, noise, *scales), noise, scales


def guided(evaluate, x, time, label, weight: float, model) -> jax.Array:
    """f(∅) + w (f(label) − f(∅)) of x [B, ...] in one pass over both; `evaluate`: (x, time, label) -> output."""
    if weight == 1:
        return evaluate(x, time, label)
    both = lambda a, b: jnp.concatenate([a, b])
    outputs = evaluate(both(x, x), both(time, time), both(label, jnp.full_like(label, model.null)))
    conditional, free = jnp.split(outputs, 2)
    return free + weight * (conditional - free)


def _check_guidance(guidance, drop_label, conditional):
    if guidance != 1 and not conditional:
        raise TrainingError(f"task.guidance={guidance}: the network is not conditional, so nothing guides it")
    if guidance not in (0, 1) and not drop_label:
        raise TrainingError(f"task.guidance={guidance} needs task.drop_label > 0, to train the network without classes")
