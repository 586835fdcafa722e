"""Variational autoencoder: a decoder p(x|z), an encoder q(z|x) = N(μ, σ²), and the prior p(z) = N(0, I).

With z_i = μ + σ ε_i and w_i = p(x|z_i) p(z_i) / q(z_i|x), an example costs, in nats,

    −ELBO   = −log p(x|z) + β KL,   KL = ½ Σ_j (μ_j² + σ_j² − 1 − log σ_j²)     Kingma & Welling 2014, eq. 10
    −IWAE_k = −log (1/k) Σ_i w_i                                                 Burda et al. 2016, eq. 8

and −ELBO ≥ −IWAE_k ≥ −log p(x) on average, the last with equality for k → ∞. β is of Higgins et al. 2017.
"""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm

from training import metrics, views
from training.errors import TrainingError, choose
from training.likelihoods import LIKELIHOODS
from training.task import Condition, Makes, Task, example_keys, sample_labels, stream, trained

CHUNK = 20  # importance samples decoded at once; it bounds the memory and does not change the numbers


def kl_to_prior(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """KL(N(μ, σ²) ‖ N(0, I)) of [..., D], summed over dimensions: [...]."""
    return 0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance).sum(-1)


def vae(
    networks: dict[str, nn.Module],
    *,
    scale: str,
    likelihood: str = "bernoulli",
    samples: int = 1,
    beta: float = 1.0,
    importance_samples: int = 50,
) -> Task:
    """Trains `networks["model"]`, a module with methods `encode` and `decode` (models/generative/vae.py).

    Predictions, per example: `nelbo` = `reconstruction` + `kl`, `nll` by importance sampling, and the `reconstructed`
    image.

    Args:
      scale: of the data; a likelihood has its own.
      likelihood: of LIKELIHOODS.
      samples: k: 1 trains the ELBO with its analytic KL, more train the IWAE bound.
      beta: β, of the ELBO.
      importance_samples: k of `nll` in evaluation.
    """
    model = networks["model"]
    p = choose(LIKELIHOODS, "task.likelihood", likelihood)
    if scale not in p.scales:
        raise TrainingError(f"task.likelihood={likelihood!r} needs data.scale={p.scales[0]!r}, not {scale!r}")
    if model.outputs != p.outputs:
        raise TrainingError(f"task.likelihood={likelihood!r} needs model.outputs={p.outputs}, not {model.outputs}")
    for name, k in (("samples", samples), ("importance_samples", importance_samples)):
        if k < 1:
            raise TrainingError(f"task.{name}={k}: at least one sample is needed")

    def apply(network, params, x, method):
        return network.apply({"params": params["model"]}, x, method=method)

    def draw(keys, number, mean, log_variance):
        """Sample `number` of q, [B, D]: the same for an example whatever else is drawn."""
        noise = lambda key: jax.random.normal(jax.random.fold_in(key, number), mean.shape[1:], mean.dtype)
        return mean + jnp.exp(log_variance / 2) * jax.vmap(noise)(keys)

    def weigh(network, params, x, keys, q, number):
        """log p(x|z) and log p(z) − log q(z|x) of sample `number`, [B] each."""
        mean, log_variance = q
        z = draw(keys, number, *q)
        posterior = norm.logpdf((z - mean) * jnp.exp(-log_variance / 2)) - log_variance / 2
        return p.log_prob(apply(network, params, z, "decode"), x), (norm.logpdf(z) - posterior).sum(-1)

    def init(key, batch):
        if tuple(model.shape) != batch["image"].shape[1:]:
            raise TrainingError(f"model.shape={tuple(model.shape)}, but images are {batch['image'].shape[1:]}")
        return {"model": model.init(key, batch["image"][:1])["params"]}, {"model": {}}

    def loss(player, params, stats, batch, key, frozen, hyper):
        x, keys = batch["image"], example_keys(key, batch)
        weight = hyper["task"]["beta"]
        network = trained(networks, hyper)["model"]
        q = apply(network, params, x, "encode")
        if samples == 1:
            reconstruction, kl = -p.log_prob(apply(network, params, draw(keys, 0, *q), "decode"), x), kl_to_prior(*q)
            values = reconstruction + weight * kl
        else:
            log_likelihood, log_ratio = jax.vmap(partial(weigh, network, params, x, keys, q))(jnp.arange(samples))
            values = math.log(samples) - logsumexp(log_likelihood + weight * log_ratio, axis=0)
            reconstruction, kl = -log_likelihood.mean(0), kl_to_prior(*q)
        sums = {"reconstruction": reconstruction.sum(), "kl": kl.sum()}
        return values.sum(), jnp.asarray(len(x), values.dtype), ({"model": {}}, sums)

    def predict(params, stats, batch, key, frozen):
        x, keys = batch["image"], example_keys(stream(key, "importance"), batch)
        q = apply(model, params, x, "encode")
        kl = kl_to_prior(*q)
        numbers = jnp.arange(importance_samples)
        log_likelihood, log_ratio = jax.lax.map(partial(weigh, model, params, x, keys, q), numbers, batch_size=CHUNK)
        reconstruction = -log_likelihood[0]
        made = p.mean(apply(model, params, q[0], "decode"))
        return {
            "nelbo": reconstruction + kl,
            "reconstruction": reconstruction,
            "kl": kl,
            "nll": math.log(importance_samples) - logsumexp(log_likelihood + log_ratio, axis=0),
            "reconstructed": made,
        }

    def draw_images(params, stats, key, condition, frozen):
        """Images decoded from the codes `condition["latent"]` [B, D] where given, or from codes of the prior."""
        sample_labels(model, condition)
        prior = lambda key: jax.random.normal(key, (model.latent,))
        z = condition.get("latent", jax.vmap(prior)(example_keys(key, condition)))
        return {"image": p.mean(apply(model, params, z, "decode"))}

    directions = {"nelbo": "min", "reconstruction": "min", "kl": None, "nll": "min"}
    return Task(
        players=("model",),
        init=init,
        loss=loss,
        predict=predict,
        metrics={name: metrics.mean(name, name, better, "nats") for name, better in directions.items()},
        numbers=("beta",),
        best="nelbo",
        makes=Makes(draw_images, given={"latent": Condition("array", (model.latent,))}),
        views=(views.image(), views.image("reconstructed"), views.label()),
    )
