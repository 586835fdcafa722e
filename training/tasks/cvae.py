"""Conditional VAE: the unseen quadrants y of an image from those that are seen, x (Sohn et al. 2015, section 4).

With a guess ŷ(x), made by a network that is trained on −log p(y | ŷ) alone, and z ~ q(z|x, y), an example costs

    −log p(y|z) + KL(q(z|x, y) ‖ p(z|x, ŷ))                          equation 4

and −log p(y|x) is estimated by samples of p(z|x) or, with less variance, by importance samples of q (equation 6). All
are sums over the pixels of y, in nats.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm

from training import metrics, views
from training.errors import TrainingError
from training.likelihoods import total
from training.losses import sigmoid_cross_entropy
from training.task import Condition, Makes, Task, example_keys, stream, trained

CHUNK = 20  # samples decoded at once; it bounds the memory and does not change the numbers


def seen_quadrants(height: int, width: int, count: int) -> jax.Array:
    """[H, W, 1] bool: the lower left quadrant is seen, the upper left too, the lower right too."""
    lower, left = (jnp.arange(height) >= height // 2)[:, None], (jnp.arange(width) < width // 2)[None]
    return {1: lower & left, 2: left | jnp.zeros_like(lower), 3: lower | left}[count][..., None]


def divergence(q, p) -> jax.Array:
    """KL(q ‖ p) of Gaussians, each a mean and a logarithm of the variance [B, D], summed over dimensions: [B]."""
    (mean, log_variance), (other, log_other) = q, p
    ratio = jnp.exp(log_variance - log_other) + (mean - other) ** 2 * jnp.exp(-log_other)
    return 0.5 * (ratio - 1 + log_other - log_variance).sum(-1)


def cvae(networks: dict[str, nn.Module], *, scale: str, quadrants: int = 1, importance_samples: int = 100) -> Task:
    """Trains `networks["model"]`, with methods `guess`, `prior`, `posterior` and `decode` (models/generative/cvae.py).

    Predictions, per example, of −log p(y|x): `baseline` of the guess, `monte_carlo` and `importance` of the CVAE by
    samples; and the `guessed` and `completed` image.

    Args:
      scale: of the data, "unit"; the numbers are likelihoods only of pixels that are 0 or 1.
      quadrants: how many are seen, 1 to 3.
      importance_samples: of each estimate.
    """
    model = networks["model"]
    if scale != "unit":
        raise TrainingError(f"task 'cvae' needs data.scale='unit', not {scale!r}")
    if quadrants not in (1, 2, 3):
        raise TrainingError(f"task.quadrants={quadrants}: 1, 2 or 3 of the four are seen")
    if importance_samples < 1:
        raise TrainingError(f"task.importance_samples={importance_samples}: at least one sample is needed")

    def apply(network, params, method, *inputs):
        return network.apply({"params": params["model"]}, *inputs, method=method)

    def split(image):
        """(whether a pixel is seen, the image with −1 elsewhere)."""
        known = seen_quadrants(*image.shape[1:3], quadrants)
        return known, jnp.where(known, image, -1.0)

    def unseen(logits, image):
        """−log p(y) of the pixels that are not seen, [B]."""
        return total(jnp.where(split(image)[0], 0, sigmoid_cross_entropy(logits, image)))

    def gaussians(network, params, seen, image=None):
        """(the guess's logits, p(z|x), q(z|x, y) or None)."""
        guess = apply(network, params, "guess", seen)
        prior = apply(network, params, "prior", seen, jax.lax.stop_gradient(nn.sigmoid(guess)))
        return guess, prior, None if image is None else apply(network, params, "posterior", seen, image)

    def draw_code(keys, mean, log_variance):
        noise = jax.vmap(lambda key: jax.random.normal(key, mean.shape[1:], mean.dtype))(keys)
        return mean + jnp.exp(log_variance / 2) * noise

    def log_density(z, mean, log_variance):
        return (norm.logpdf((z - mean) * jnp.exp(-log_variance / 2)) - log_variance / 2).sum(-1)

    def init(key, batch):
        image = batch["image"][:1]
        if tuple(model.shape) != image.shape[1:]:
            raise TrainingError(f"model.shape={tuple(model.shape)}, but images are {image.shape[1:]}")
        return {"model": model.init(key, split(image)[1], image)["params"]}, {"model": {}}

    def loss(player, params, stats, batch, key, frozen, hyper):
        image, network = batch["image"], trained(networks, hyper)["model"]
        guess, prior, posterior = gaussians(network, params, split(image)[1], image)
        logits = apply(network, params, "decode", draw_code(example_keys(key, batch), *posterior))
        parts = {
            "baseline": unseen(guess, image),
            "reconstruction": unseen(logits, image),
            "kl": divergence(posterior, prior),
        }
        values = sum(parts.values())
        weight = jnp.asarray(len(image), values.dtype)
        return values.sum(), weight, ({"model": {}}, {name: x.sum() for name, x in parts.items()})

    def predict(params, stats, batch, key, frozen):
        image, keys = batch["image"], example_keys(stream(key, "importance"), batch)
        known, seen = split(image)
        guess, prior, posterior = gaussians(model, params, seen, image)

        def weigh(number):
            """log p(y|z) of a z of the prior, and log p(y|z) p(z|x) / q(z|x, y) of one of the posterior, [B] each."""
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
            plain = draw_code(own, *prior)
            z = draw_code(jax.vmap(lambda key: stream(key, "posterior"))(own), *posterior)
            first, second = (-unseen(apply(model, params, "decode", z), image) for z in (plain, z))
            return first, second + log_density(z, *prior) - log_density(z, *posterior)

        both = jax.lax.map(weigh, jnp.arange(importance_samples), batch_size=CHUNK)
        monte_carlo, importance = (math.log(importance_samples) - logsumexp(x, axis=0) for x in both)
        complete = lambda logits: jnp.where(known, image, nn.sigmoid(logits))
        return {
            "baseline": unseen(guess, image),
            "monte_carlo": monte_carlo,
            "importance": importance,
            "guessed": complete(guess),
            "completed": complete(apply(model, params, "decode", prior[0])),
        }

    def draw(params, stats, key, condition, frozen):
        """Images whose unseen quadrants are drawn, the seen ones of `condition["image"]`."""
        known, seen = split(condition["image"])
        _, prior, _ = gaussians(model, params, seen)
        z = draw_code(example_keys(key, condition), *prior)
        return {"image": jnp.where(known, condition["image"], nn.sigmoid(apply(model, params, "decode", z)))}

    return Task(
        players=("model",),
        init=init,
        loss=loss,
        predict=predict,
        metrics={
            name: metrics.mean(name, name, "min", "nats", panel="likelihood")
            for name in ("baseline", "monte_carlo", "importance")
        },
        best="importance",
        makes=Makes(draw, given={"image": Condition("image", required=True)}),
        views=(views.image(), views.image("guessed"), views.image("completed"), views.label()),
    )
