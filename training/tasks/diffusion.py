"""Denoising diffusion: a network that removes noise, applied again and again.

An example costs the squared error at one random time t, averaged over pixels and weighed,

    ℓ = w(t) mean (target(x_0, ε) − f(x_t, t))²,   x_t = a x_0 + s ε          Ho et al. 2020, eq. 14; Song et al. 2021

and classifier-free guidance with weight w replaces f(class) by f(∅) + w (f(class) − f(∅)): w = 1 is the plain
conditional network, w = 0 the unconditional one (Ho & Salimans 2022, whose own weight is w − 1).
"""

import dataclasses
import math
import types
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import diffusion as process
from training import diffusion_samplers as samplers
from training import flow_likelihood, metrics, views
from training.errors import TrainingError, check, choose
from training.likelihoods import total
from training.losses import per_example, squared_error
from training.processes import IMAGES
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

HYBRID = 0.001  # λ of Nichol & Dhariwal 2021, eq. 16, of the sum over all steps


def diffusion(
    networks: dict[str, nn.Module],
    *,
    shape: tuple[int, ...],
    scale: str,
    schedule: str = "linear",
    steps: int = 1000,
    target: str = "noise",
    weighting: str = "none",
    drop_label: float = 0.1,
    clip: bool = True,
    sampler: str = "ancestral",
    spacing: str = "leading",
    sampling_steps: int = 1000,
    eta: float = 0.0,
    churn: float = 0.0,
    corrections: int = 1,
    snr: float = 0.16,
    step_size: float = 2e-5,
    variance: str = "large",
    guidance: float = 1.0,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    bound_terms: int = 10,
    flow_steps: int = 0,
) -> Task:
    """Trains `networks["model"]`, (x_t [B, H, W, C], time [B], train, label) -> [B, H, W, C].

    Predictions, per example: `loss`, averaged over `bound_terms` random steps; and, of images, `bits_per_dim`, the
    variational bound. Its sum over steps is estimated from one step in each of `bound_terms` equal parts; with
    `bound_terms` = `steps` it is complete. With `flow_steps`, also `flow_bits_per_dim`, by the probability-flow ODE.

    Samples are noise that was denoised, or made from an image by what is asked for: `image` alone is drawn again from
    the noise level at the share `strength` of the steps (SDEdit, Meng et al. 2022); with a `mask` [H, W], what it marks
    with 1 is painted in; with the option `factor` the means of its squares of `factor` pixels are kept
    (super-resolution); with `grey` its means over the channels (colourisation). `repeats` of each step make what is
    kept and what is new fit. With `invert` sampling starts at the image's own noise, by DDIM's steps backwards.

    Args:
      shape: (H, W, C) of what is denoised, as the network sees it.
      scale: data.scale; images that are clipped must be "symmetric".
      schedule: a name in training.diffusion.SCHEDULES: chains of T steps as DDPM's "linear" and "cosine", or processes
        in continuous time, whose T steps serve sampling and the bound.
      steps: T of training.
      target: what the network predicts: "noise", "image", "velocity", "flow" or "preconditioned" (EDM).
      weighting: w(t): "none", or "min_snr".
      drop_label: the share of labels that are hidden from a conditional network in training.
      clip: whether denoised values are clipped to [-1, 1], the range of images. False: data without bounds, such as
        latents, for which there is no bound in bits.
      sampler: a name in training.diffusion_samplers.SAMPLERS.
      spacing: which of the steps are taken: "leading", "trailing", "linspace" or "karras".
      sampling_steps: how many of the steps a sample takes.
      eta: η of ddim; 1 is as noisy as the ancestral sampler with small variance.
      churn: S_churn of euler and heun, spread over all steps.
      corrections: Langevin steps of a level, of predictor_corrector and langevin.
      snr: r of predictor_corrector.
      step_size: ε of langevin.
      variance: of the reverse process: "large" (β), "small" (β̃), or "learned" in between by a network with twice as
        many outputs as the image has channels, whose loss gains λ L_vlb (L_hybrid).
      guidance: w.
      guidance_interval: the times t, in [0, 1], between which w applies, and 1 elsewhere (Kynkäänniemi et al. 2024).
      bound_terms: steps that are evaluated for an example.
      flow_steps: levels of the ODE of the likelihood; 0: it is not computed.
    """
    model = networks["model"]
    conditional, channels, learned = "label" in conditions(model), shape[-1], variance == "learned"
    full = choose(process.SCHEDULES, "task.schedule", schedule)(steps)
    full = dataclasses.replace(full, process=dataclasses.replace(full.process, range=IMAGES if clip else None))
    predicted = choose(process.TARGETS, "task.target", target)
    weight = choose(process.WEIGHTINGS, "task.weighting", weighting)
    check(samplers.SAMPLERS, "task.sampler", sampler)
    _check_sde(sampler, full)
    check(process.SPACINGS, "task.spacing", spacing)
    check(process.VARIANCES, "task.variance", variance)
    full.respaced(1, spacing)  # refuses a spacing that the schedule cannot have
    given = types.SimpleNamespace(
        variance=variance, eta=eta, churn=churn, corrections=corrections, snr=snr, step_size=step_size
    )
    if clip and scale != "symmetric":
        raise TrainingError(
            f"diffusion clips images to [-1, 1]: data.scale='symmetric', not {scale!r}, or task.clip=False"
        )
    _check_guidance(guidance, drop_label, conditional)
    low, high = guidance_interval
    if not 0 <= low < high:
        raise TrainingError(
            f"task.guidance_interval={guidance_interval} is not an interval of times, such as (0.2, 0.8)"
        )
    if flow_steps and flow_steps < 2:
        raise TrainingError(f"task.flow_steps={flow_steps} is neither 0 nor at least 2, the ends of the path")
    if corrections < 0:
        raise TrainingError(f"task.corrections={corrections} is less than 0")
    for name, number in (("sampling_steps", sampling_steps), ("bound_terms", bound_terms)):
        if not 1 <= number <= steps:
            raise TrainingError(f"task.{name}={number} is not between 1 and the {steps} steps of training")
    if not 0 <= eta <= 1:
        raise TrainingError(f"task.eta={eta} is not between 0 and 1")
    if target == "noise" and not full.mean[-1]:
        raise TrainingError(
            f"at the end of task.schedule={schedule!r} is noise alone: task.target='velocity' or 'image'"
        )
    if learned and not full.discrete:
        raise TrainingError(f"task.variance='learned' is between those of discrete steps: not schedule={schedule!r}")

    def evaluate(params, stats, x, level, label):
        """The network's output [B, H, W, 1 or 2 times C], not in training; a label where it is conditional."""
        label = {"label": label} if conditional else {}
        variables = {"params": params["model"], **stats["model"]}
        return model.apply(variables, predicted.read(x, *process.scales_of(level, x)), level.told, train=False, **label)

    def labels(batch):
        """Labels for a conditional network; the null label where an example has none."""
        return jnp.where(batch["label"] >= 0, batch["label"], model.null) if conditional else None

    def start_of(output, x, level):
        """(x_0, the mixture of the variance or nothing) of the network's output."""
        return predicted.start(output[..., :channels], x, *process.scales_of(level, x)), output[..., channels:]

    def init(key, batch):
        image, time = batch["image"][:1], jnp.zeros(1)
        params, stats = init_network(model, key, image, time)
        label = {"label": jnp.zeros(1, jnp.int32)} if conditional else {}
        apply = lambda: model.apply({"params": params, **stats}, image, time, train=False, **label)
        outputs, expected = jax.eval_shape(apply).shape[-1], channels * (1 + learned)
        if outputs != expected:
            raise TrainingError(
                f"task.variance={variance!r} needs {expected} outputs for each pixel of {channels} channels, the"
                f" network has {outputs}: model.outputs={1 + learned}"
            )
        return {"model": params}, {"model": stats}

    def loss(player, params, stats, batch, key, frozen, hyper):
        start, keys = batch["image"], lambda name: example_keys(stream(key, name), batch)
        index, level = full.draw(keys("step"), start.dtype)
        x, noise = process.noised(keys("noise"), level, start)
        label = {}
        if conditional:
            share = hyper["task"]["drop_label"]
            drop = jax.vmap(lambda key: jax.random.bernoulli(key, share))(keys("drop"))
            label = {"label": jnp.where(drop, model.null, labels(batch))}
        network, scales = trained(networks, hyper)["model"], process.scales_of(level, x)
        inputs = predicted.read(x, *scales), level.told
        output, moved = apply_in_training(network, params["model"], stats["model"], key, batch, *inputs, **label)
        values = per_example(squared_error(output[..., :channels], predicted.of(start, noise, *scales)))
        values *= weight(level.mean, level.noise, predicted.slope(level.mean, level.noise))
        if learned:
            estimate, mixture = start_of(output, x, level)
            nats = process.bound_term(start, jax.lax.stop_gradient(estimate), x, index, full, variance, mixture)
            values += HYBRID * steps * per_example(nats) / math.log(2)
        return values.sum(), jnp.asarray(len(values), values.dtype), ({"model": moved}, {})

    def predict(params, stats, batch, key, frozen):
        start, label = batch["image"], labels(batch)
        keys = example_keys(stream(key, "bound"), batch)

        def term(number):
            """The simple loss and the bound's term at a step of part `number` of the schedule."""
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
            low, high = number * steps // bound_terms, (number + 1) * steps // bound_terms
            index = jax.vmap(lambda key: jax.random.randint(stream(key, "step"), (), low, high))(own)
            level = process.picked(full.levels, index, start.dtype)
            x, noise = process.noised(jax.vmap(partial(stream, name="noise"))(own), level, start)
            output = evaluate(params, stats, x, level, label)
            simple = per_example(
                squared_error(output[..., :channels], predicted.of(start, noise, *process.scales_of(level, x)))
            )
            if not clip:
                return simple, jnp.zeros_like(simple)
            estimate, mixture = start_of(output, x, level)
            nats = process.bound_term(start, full.clip(estimate), x, index, full, variance, mixture)
            return simple, (high - low) * total(nats)

        simple, nats = jax.lax.map(term, jnp.arange(bound_terms))
        if not clip:
            return {"loss": simple.mean(0)}
        nats = nats.sum(0) + total(process.prior_term(start, full))
        outputs = {"loss": simple.mean(0), "bits_per_dim": nats / (math.prod(start.shape[1:]) * math.log(2))}
        if flow_steps:

            def denoise(x, level):
                level = _of_all(level, x)
                return start_of(evaluate(params, stats, x, level, label), x, level)[0]

            keys = example_keys(stream(key, "flow"), batch)
            outputs["flow_bits_per_dim"] = flow_likelihood.bits_per_dim(denoise, full.fine(flow_steps), start, keys)
        return outputs

    def draw(
        params,
        stats,
        key,
        condition,
        frozen,
        *,
        steps: int = sampling_steps,
        guidance: float = guidance,
        sampler: str = sampler,
        spacing: str = spacing,
        strength: float = 1.0,
        factor: int = 1,
        grey: bool = False,
        repeats: int = 1,
        invert: bool = False,
    ):
        """Images of the classes `condition["label"]` where given, in `steps` steps, guided by the weight `guidance`."""
        if not 1 <= steps <= len(full.t):
            raise TrainingError(f"{steps} sampling steps are not between 1 and the {len(full.t)} of training")
        _check_guidance(guidance, drop_label, conditional)
        chosen = choose(samplers.SAMPLERS, "sampler", sampler)(given)
        _check_sde(sampler, full)
        label = sample_labels(model, condition)
        few = full.respaced(steps, spacing)

        def outputs(x, level):
            level = _of_all(level, x)
            inside = jnp.logical_and(level.t[0] >= low, level.t[0] <= high)
            weight = guidance if (low, high) == (0, 1) else jnp.where(inside, guidance, 1.0)
            apply = lambda x, level, label: evaluate(params, stats, x, level, label)
            start, mixture = start_of(guided(apply, x, level, label, weight, model), x, level)
            return full.clip(start), mixture

        keys, initial, image = example_keys(key, condition), None, condition.get("image")
        asked = {"mask": "mask" in condition, "factor": factor > 1, "grey": grey}
        edits = [name for name in asked if asked[name]]
        if edits and image is None:
            raise TrainingError(f"{edits[0]} keeps a part of an image: give one (--given image=FILE)")
        if len(edits) > 1:
            raise TrainingError(f"{edits[0]} and {edits[1]} keep different parts of the image: choose one")
        if not 0 < strength <= 1:
            raise TrainingError(f"strength={strength} is not above 0 and at most 1")
        if repeats < 1:
            raise TrainingError(f"repeats={repeats} is less than 1")
        if image is None and (invert or strength != 1):
            raise TrainingError("strength and invert begin with an image: give one (--given image=FILE)")
        if repeats > 1 and not edits:
            raise TrainingError("repeats undoes steps that keep a part of an image: give a mask, factor or grey")
        if edits and sampler in samplers.REMEMBERING:
            raise TrainingError(
                f"sampler={sampler!r} goes on from its own earlier steps, which a kept part of an image breaks: take"
                " 'ancestral', 'ddim' or 'heun'"
            )
        if image is not None and image.shape[1:] != tuple(shape):
            raise TrainingError(f"the image is {_times(image.shape[1:])}, and the network takes {_times(shape)}")
        if image is not None:
            if factor < 1 or shape[0] % factor or shape[1] % factor:
                raise TrainingError(f"factor={factor} does not divide the sides of {shape[0]}×{shape[1]}")
            if edits:
                merge = {
                    "mask": lambda: samplers.inpainting(_mask(condition["mask"], shape, image.dtype)),
                    "factor": lambda: samplers.low_frequencies(factor),
                    "grey": lambda: samplers.greys,
                }[edits[0]]()
                chosen = samplers.edited(chosen, merge, image, repeats)
            few = few.until(max(1, round(strength * steps)))
            if invert:
                initial = samplers.encode(lambda x, level: outputs(x, level)[0], few, image)
            elif not edits or strength < 1:
                level = jax.tree.map(lambda v: jnp.full(len(image), v[-1], image.dtype), few.levels)
                initial, _ = process.noised(jax.vmap(partial(stream, name="image"))(keys), level, image)
        start = lambda x, level: outputs(x, level)[0]
        return {"image": samplers.sample(start, chosen, few, keys, shape, initial=initial, learned=outputs)}

    measures = {"loss": metrics.mean("loss", "loss", "min", scale="log")}
    if clip:
        measures["bits_per_dim"] = metrics.mean("bits_per_dim", "bits_per_dim", "min", "bits/dim")
    if clip and flow_steps:
        measures["flow_bits_per_dim"] = metrics.mean("flow_bits_per_dim", "flow_bits_per_dim", "min", "bits/dim")
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
            given={
                **({"label": Condition("label")} if conditional else {}),
                "image": Condition("image"),
                "mask": Condition("mask"),
            },
            options={
                "steps": sampling_steps,
                "guidance": guidance,
                "sampler": sampler,
                "spacing": spacing,
                "strength": 1.0,
                "factor": 1,
                "grey": False,
                "repeats": 1,
                "invert": False,
            },
        ),
        views=(views.image(), views.label()),
    )


def guided(evaluate, x, level, label, weight, model) -> jax.Array:
    """f(∅) + w (f(label) − f(∅)) of x [B, ..., C] in one pass over both; `evaluate`: (x, level, label) -> output.

    Outputs beyond the C channels are those of f(label).
    """
    if isinstance(weight, int | float) and weight == 1:
        return evaluate(x, level, label)
    both = lambda a, b: jnp.concatenate([a, b])
    null = jnp.full_like(label, model.null)
    outputs = evaluate(both(x, x), jax.tree.map(both, level, level), both(label, null))
    conditional, free = jnp.split(outputs, 2)
    guided = free + weight * (conditional - free)
    return jnp.concatenate([guided[..., : x.shape[-1]], conditional[..., x.shape[-1] :]], -1)


def _times(shape):
    return "×".join(map(str, shape))


def _of_all(level, x):
    """The level [] of all examples x [B, ...], [B]."""
    return jax.tree.map(lambda v: jnp.full(len(x), v, x.dtype), level)


def _mask(mask, shape, dtype):
    """[B, H, W] or [B, H, W, 1] -> [B, H, W, 1] of 0 and 1."""
    mask = mask[..., None] if mask.ndim == 3 else mask
    if mask.shape[1:] != (*shape[:2], 1):
        sides = "×".join(map(str, mask.shape[1:3]))
        raise TrainingError(f"the mask is of {sides} pixels, the image of {shape[0]}×{shape[1]}")
    return (mask != 0).astype(dtype)


def _check_sde(sampler, schedule):
    if sampler == "reverse_sde" and not schedule.mean[-1]:
        raise TrainingError(
            "sampler='reverse_sde' needs a drift, which is infinite where only noise is left: 'ancestral' or 'euler'"
        )


def _check_guidance(guidance, drop_label, conditional):
    if guidance != 1 and not conditional:
        raise TrainingError(f"task.guidance={guidance}: the network is not conditional, so nothing guides it")
    if guidance != 1 and not drop_label:
        raise TrainingError(f"task.guidance={guidance} needs task.drop_label > 0, to train the network without classes")
