"""Consistency training: a network that maps every point of a path of noise to where the path began.

Along x_σ = x_0 + σ ε the network f gives the same answer at neighbouring levels, and f(x, σ_1) = x:

    ℓ = d(f(x_0 + σ_{n+1} ε, σ_{n+1}), f⁻(x_0 + σ_n ε, σ_n)) / (σ_{n+1} − σ_n)      Song et al. 2023, eq. 10

with f⁻ = f without gradient, the pseudo-Huber d, and levels as Song & Dhariwal 2024, "Improved Techniques for Training
Consistency Models", have them (table 1), but for their number, which is fixed here.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import erf

from training import diffusion as process
from training import diffusion_samplers as samplers
from training import metrics, views
from training.errors import TrainingError
from training.processes import edm
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

DATA_STD = process.DATA_STD


def consistency(
    networks: dict[str, nn.Module],
    *,
    shape: tuple[int, ...],
    scale: str,
    levels: int = 40,
    sampling_steps: int = 1,
) -> Task:
    """Trains `networks["model"]`, (x_σ [B, H, W, C], ¼ ln σ [B], train, label) -> [B, H, W, C].

    Predictions, per example: `loss`. Samples take `sampling_steps` evaluations of the network; more than one add noise
    and remove it again (Song et al. 2023, algorithm 1).

    Args:
      shape: (H, W, C) of the images, scaled to [-1, 1].
      levels: N, from σ = 0.002 to 80; more have less bias and more variance.
    """
    if scale != "symmetric":
        raise TrainingError(f"consistency training is for images in [-1, 1]: data.scale='symmetric', not {scale!r}")
    if levels < 2:
        raise TrainingError(f"task.levels={levels}: there are at least 2, that of the data and that of the noise")
    _check_steps(sampling_steps, levels)
    model, size = networks["model"], math.prod(shape)
    conditional = "label" in conditions(model)
    ladder = process.in_steps(edm(), levels)
    shares = np.diff(erf((np.log(ladder.noise) + 1.1) / (2.0 * math.sqrt(2))))  # ln σ ~ N(−1.1, 2²)
    until = jnp.asarray(np.cumsum(shares) / shares.sum(), jnp.float32)
    huber = 0.00054 * math.sqrt(size)

    def answer(apply, x, sigma):
        """f(x, σ), with σ [B] and apply: (input, ¼ ln σ) -> output."""
        wide = sigma.reshape(-1, *[1] * (x.ndim - 1))
        skip, out, read = skips(wide, float(ladder.noise[0]))
        return skip * x + out * apply(read * x, jnp.log(sigma) / 4)

    def labels(batch):
        return {"label": jnp.where(batch["label"] >= 0, batch["label"], model.null)} if conditional else {}

    def neighbours(key, batch):
        """(x_σ, σ) of each example at two neighbouring levels, along the same noise."""
        keys, start = lambda name: example_keys(stream(key, name), batch), batch["image"]
        uniform = jax.vmap(jax.random.uniform)(keys("level"))
        low = jnp.minimum(jnp.searchsorted(until, uniform), levels - 2)
        noise = jax.vmap(lambda key: jax.random.normal(key, start.shape[1:], start.dtype))(keys("noise"))
        sigmas = [jnp.asarray(ladder.noise, start.dtype)[low + step] for step in (0, 1)]
        return [(start + sigma.reshape(-1, 1, 1, 1) * noise, sigma) for sigma in sigmas]

    def distance(ahead, behind, low, high):
        square = jnp.sum((ahead - behind).reshape(len(ahead), -1) ** 2, 1)
        return (jnp.sqrt(square + huber**2) - huber) / (high - low)

    def init(key, batch):
        params, stats = init_network(model, key, batch["image"][:1], jnp.zeros(1))
        return {"model": params}, {"model": stats}

    def loss(player, params, stats, batch, key, frozen, hyper):
        network, label, collected = trained(networks, hyper)["model"], labels(batch), []

        def apply(params):
            def run(x, time):  # with the same dropout at both levels
                output, moved = apply_in_training(network, params, stats["model"], key, batch, x, time, **label)
                collected.append(moved)
                return output

            return run

        (x, low), (ahead, high) = neighbours(key, batch)
        behind = jax.lax.stop_gradient(answer(apply(jax.lax.stop_gradient(params["model"])), x, low))
        values = distance(answer(apply(params["model"]), ahead, high), behind, low, high)
        return values.sum(), jnp.asarray(len(values), values.dtype), ({"model": collected[-1]}, {})

    def evaluate(params, stats, label):
        variables = {"params": params["model"], **stats["model"]}
        return lambda x, time: model.apply(variables, x, time, train=False, **label)

    def predict(params, stats, batch, key, frozen):
        apply = evaluate(params, stats, labels(batch))
        (x, low), (ahead, high) = neighbours(stream(key, "predict"), batch)
        return {"loss": distance(answer(apply, ahead, high), answer(apply, x, low), low, high)}

    def draw(params, stats, key, condition, frozen, *, steps: int = sampling_steps):
        """Images of the classes `condition["label"]` where given, with `steps` evaluations of the network."""
        _check_steps(steps, levels)
        label = sample_labels(model, condition)
        apply = evaluate(params, stats, {} if label is None else {"label": label})
        denoise = lambda x, level: jnp.clip(answer(apply, x, jnp.full(len(x), level.noise)), -1, 1)

        def again(x, start, noise, move):
            return start + jnp.sqrt(jnp.maximum(move.noise_before**2 - ladder.noise[0] ** 2, 0)) * noise

        few, keys = ladder.respaced(steps, "trailing"), example_keys(key, condition)
        return {"image": samplers.sample(denoise, samplers.markov(again), few, keys, shape)}

    return Task(
        players=("model",),
        needs=("label",) if conditional else (),
        init=init,
        loss=loss,
        predict=predict,
        metrics={"loss": metrics.mean("loss", "loss", "min", scale="log")},
        best="loss",
        makes=Makes(
            draw,
            given={"label": Condition("label")} if conditional else {},
            options={"steps": sampling_steps},
        ),
        views=(views.image(), views.label()),
    )


def skips(sigma, smallest: float):
    """c_skip, c_out and c_in, with which f(x, `smallest`) = x: Song et al. 2023, appendix C."""
    total = jnp.sqrt(sigma**2 + DATA_STD**2)
    away = sigma - smallest
    return DATA_STD**2 / (away**2 + DATA_STD**2), DATA_STD * away / total, 1 / total


def _check_steps(steps, levels):
    if not 1 <= steps < levels:
        raise TrainingError(f"{steps} sampling steps are not between 1 and {levels - 1}, one less than task.levels")
