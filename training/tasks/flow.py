"""Normalising flows: an invertible network f makes normal noise of an image, and the likelihood of it exactly.

    log p(x) = log N(f(x); 0, I) + log |det ∂f/∂x|                               Dinh et al. 2017, equation 2

x is dequantised, so that −log p(x) + N log v bounds the −log P of the 8-bit image from above, where v is how many
steps of 8 bits are in a unit of x (Theis et al. 2016); in bits per dimension it is divided by N log 2.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.scipy.stats import norm

from training import metrics, views
from training.errors import TrainingError, choose
from training.task import Condition, Makes, Task, example_keys, init_network, sample_labels, trained

STEPS = {"unit": 256.0, "symmetric": 128.0}  # data.scale -> steps of 8 bits in a unit


def flow(networks: dict[str, nn.Module], *, scale: str) -> Task:
    """Trains `networks["model"]` with the methods `forward`, x [B, H, W, C] -> (z [B, N], log-determinant [B]), and
    `decode`, z -> x (models/generative/glow.py).

    The page's images are to be dequantised: augment and evaluate_augment=("dequantise",). Predictions, per example:
    `nll` in nats and `bits_per_dim`, of the 8-bit image.

    Args:
      scale: of the data, "unit" or "symmetric".

    Raises TrainingError for another scale.
    """
    model, steps = networks["model"], choose(STEPS, "data.scale", scale)

    def measures(network, params, x):
        z, log_det = network.apply({"params": params["model"]}, x, method="forward")
        size = z.shape[1]
        nll = size * math.log(steps) - norm.logpdf(z).sum(1) - log_det
        return {"nll": nll, "bits_per_dim": nll / (size * math.log(2))}

    def init(key, batch):
        params, stats = init_network(model, key, batch["image"][:1])
        if stats:
            raise TrainingError(f"task 'flow' takes no network with {', '.join(stats)}")
        return {"model": params}, {"model": {}}

    def loss(player, params, stats, batch, key, frozen, hyper):
        found = measures(trained(networks, hyper)["model"], params, batch["image"])
        weight = jnp.asarray(len(batch["image"]), found["nll"].dtype)
        return found["nll"].sum(), weight, ({"model": {}}, {"bits_per_dim": found["bits_per_dim"].sum()})

    def predict(params, stats, batch, key, frozen):
        return measures(model, params, batch["image"])

    def draw(params, stats, key, condition, frozen, *, temperature: float = 1.0):
        """Images of the codes `condition["latent"]` [B, N] where given, or of noise times the temperature."""
        sample_labels(model, condition)
        noise = lambda key: temperature * jax.random.normal(key, (model.latent,), jax.tree.leaves(params)[0].dtype)
        z = condition.get("latent", jax.vmap(noise)(example_keys(key, condition)))
        return {"image": model.apply({"params": params["model"]}, z, method="decode")}

    return Task(
        players=("model",),
        init=init,
        loss=loss,
        predict=predict,
        metrics={
            "nll": metrics.mean("nll", "nll", "min", "nats"),
            "bits_per_dim": metrics.mean("bits_per_dim", "bits_per_dim", "min", "bits/dim"),
        },
        best="nll",
        makes=Makes(draw, given={"latent": Condition("array", (model.latent,))}, options={"temperature": 1.0}),
        views=(views.image(), views.label()),
    )
