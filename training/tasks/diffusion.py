"""Denoising diffusion: a network that sees through noise, asked again and again.

An example costs the squared error at one random step t, averaged over pixels,

    ℓ = mean (target(x_0, ε) − f(x_t, t))²,   x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε          Ho et al. 2020, eq. 14

and classifier-free guidance with weight w puts f(∅) + w (f(class) − f(∅)) in the place of f(class): w = 1 is the plain
conditional network, w = 0 the unconditional one (Ho & Salimans 2022, whose own weight is w − 1).
"""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import diffusion as process
from training import metrics
from training.errors import TrainingError, choose
from training.likelihoods import total
from training.losses import per_example, squared_error
from training.task import Task, apply_in_training, example_keys, init_network, sample_labels, stream, trained


def diffusion(
    networks: dict[str, nn.Module],
    *,
    info,
    scale: str,
    schedule: str = "linear",
    steps: int = 1000,
    target: str = "noise",
    drop_label: float = 0.1,
    sampler: str = "ancestral",
    sampling_steps: int = 1000,
    eta: float = 0.0,
    variance: str = "large",
    guidance: float = 1.0,
    bound_terms: int = 10,
) -> Task:
    """Trains `networks["model"]`, (x_t [B, H, W, C], time [B], train, label) -> [B, H, W, C].

    Predictions, per example: `loss` at a random step, and `bits_per_dim`, the variational bound, whose sum over steps
    is estimated by `bound_terms` of them, one in each of as many equal parts; with `steps` of them it is complete.

    Args:
      info: of the data: the shape of an image.
      scale: of the data, which must be "symmetric".
      schedule: "linear" or "cosine".
      steps: T of training.
      target: what the network puts out: "noise", "image" or "velocity".
      drop_label: the share of labels that a conditional network is not told in training;
        `hyper["task"]["drop_label"]` is used instead where it is given.
      sampler: "ancestral" or "ddim".
      sampling_steps: how many of the steps a sample takes.
      eta: η of ddim; 1 is as noisy as the ancestral sampler with small variance.
      variance: of the reverse process: "large" (β) or "small" (β̃).
      guidance: w.
      bound_terms: steps of the bound that are evaluated for an example.
    """
    model = networks["model"]
    full = choose(process.SCHEDULES, "task.schedule", schedule)(steps)
    target_of, start_of = choose(process.TARGETS, "task.target", target)
    samplers = {
        "ancestral": partial(process.ancestral_step, variance=variance),
        "ddim": partial(process.ddim_step, eta=eta),
    }
    step_back = choose(samplers, "task.sampler", sampler)
    choose(dict.fromkeys(("large", "small")), "task.variance", variance)
    if scale != "symmetric":
        raise TrainingError(f"diffusion needs images in [-1, 1]: data.scale='symmetric', not {scale!r}")
    if guidance != 1 and not model.conditional:
        raise TrainingError(f"task.guidance={guidance}: the network is not conditional, so nothing guides it")
    if guidance not in (0, 1) and not drop_label:
        raise TrainingError(f"task.guidance={guidance} needs task.drop_label > 0: a network that also knows no class")
    for name, number in (("sampling_steps", sampling_steps), ("bound_terms", bound_terms)):
        if not 1 <= number <= steps:
            raise TrainingError(f"task.{name}={number} is not between 1 and the {steps} steps of training")
    if not 0 <= eta <= 1:
        raise TrainingError(f"task.eta={eta} is not between 0 and 1")

    def noised(keys, index, start):
        """x_t, ε and ᾱ of each example at its step `index` [B]."""
        noise = jax.vmap(lambda key: jax.random.normal(key, start.shape[1:], start.dtype))(keys)
        alpha_bar = jnp.asarray(full.alpha_bar, start.dtype)[index].reshape(-1, 1, 1, 1)
        return process.diffuse(start, noise, alpha_bar), noise, alpha_bar

    def evaluate(params, stats, x, time, label):
        """The network's output, not in training; a label where it is conditional."""
        label = {"label": label} if model.conditional else {}
        return model.apply({"params": params["model"], **stats["model"]}, x, time, train=False, **label)

    def labels(batch):
        """What a conditional network is told of a batch: the class, and where there is none, so."""
        return jnp.where(batch["label"] >= 0, batch["label"], model.null) if model.conditional else None

    def init(key, batch):
        params, stats = init_network(model, key, batch["image"][:1], jnp.zeros(1, jnp.int32))
        return {"model": params}, {"model": stats}

    def loss(player, params, stats, batch, key, frozen, hyper):
        start, ids = batch["image"], batch["id"]
        keys = lambda name: example_keys(stream(key, name), ids)
        index = jax.vmap(lambda key: jax.random.randint(key, (), 0, steps))(keys("step"))
        x, noise, alpha_bar = noised(keys("noise"), index, start)
        label = {}
        if model.conditional:
            share = hyper["task"].get("drop_label", drop_label)
            drop = jax.vmap(lambda key: jax.random.bernoulli(key, share))(keys("drop"))
            label = {"label": jnp.where(drop, model.null, labels(batch))}
        network = trained(networks, hyper)["model"]
        output, moved = apply_in_training(network, params["model"], stats["model"], key, ids, x, index, **label)
        values = per_example(squared_error(output, target_of(start, noise, alpha_bar)))
        return values.sum(), jnp.asarray(len(values), values.dtype), ({"model": moved}, {})

    def predict(params, stats, batch, key, frozen):
        start, label = batch["image"], labels(batch)
        keys = example_keys(stream(key, "bound"), batch["id"])

        def term(number):
            """The simple loss and the bound's term at a step of part `number` of the schedule."""
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
            low, high = number * steps // bound_terms, (number + 1) * steps // bound_terms
            index = jax.vmap(lambda key: jax.random.randint(stream(key, "step"), (), low, high))(own)
            x, noise, alpha_bar = noised(jax.vmap(partial(stream, name="noise"))(own), index, start)
            output = evaluate(params, stats, x, index, label)
            simple = per_example(squared_error(output, target_of(start, noise, alpha_bar)))
            estimate = jnp.clip(start_of(output, x, alpha_bar), -1, 1)
            nats = process.bound_term(start, estimate, x, index, full, variance)
            return simple, (high - low) * total(nats)

        simple, nats = jax.lax.map(term, jnp.arange(bound_terms))
        nats = nats.sum(0) + total(process.prior_term(start, full))
        return {"loss": simple.mean(0), "bits_per_dim": nats / (math.prod(start.shape[1:]) * math.log(2))}

    def sample(params, stats, key, condition, frozen, *, steps: int = sampling_steps):
        """Images of classes `condition["label"]` where given, in `steps` steps."""
        if not 1 <= steps <= len(full.time):
            raise TrainingError(f"{steps} sampling steps are not between 1 and the {len(full.time)} of training")
        label = sample_labels(model, condition)

        def denoise(x, time, alpha_bar):
            time = jnp.full(len(x), time)
            if guidance == 1:
                output = evaluate(params, stats, x, time, label)
            else:
                both = lambda a, b: jnp.concatenate([a, b])
                free = jnp.full_like(label, model.null)
                guided = evaluate(params, stats, both(x, x), both(time, time), both(label, free))
                told, untold = jnp.split(guided, 2)
                output = untold + guidance * (told - untold)
            return jnp.clip(start_of(output, x, alpha_bar), -1, 1)

        keys = example_keys(key, condition["id"])
        return process.sample(denoise, step_back, full.respaced(steps), keys, info.shape)

    return Task(
        players=("model",),
        init=init,
        loss=loss,
        predict=predict,
        metrics={
            "loss": metrics.mean("loss", "loss", "min"),
            "bits_per_dim": metrics.mean("bits_per_dim", "bits_per_dim", "min", "bits/dim"),
        },
        sample=sample,
        numbers=("drop_label",),
        best="loss",
    )
