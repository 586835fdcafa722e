"""Masked autoencoding: patches that were not seen, from those that were (He et al. 2022, section 3).

    ℓ = 1/|M| Σ_{p in M} mean (x̂_p − (x_p − μ_p) / √(σ²_p + 10⁻⁶))²

over the masked patches M, each by its own mean μ_p and variance σ²_p, "normalised pixels".
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import metrics, views
from training.errors import TrainingError
from training.task import Task, example_keys, stream, trained


def patches(x, side: int):
    """x: [B, H, W, C] -> [B, H·W / side², side²·C], row by row; in a patch pixel by pixel, then channel by channel."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // side, side, width // side, side, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, -1, side * side * channels)


def picture(x, shape: tuple[int, int, int], side: int):
    """The inverse of `patches`, for images of `shape` (H, W, C)."""
    height, width, channels = shape
    x = x.reshape(len(x), height // side, width // side, side, side, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(len(x), *shape)


def normalised(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(normalised patches, mean, deviation) of patches [B, N, D]; the variance is that of a sample, over D − 1."""
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True, ddof=1)
    deviation = jnp.sqrt(variance + 1e-6)
    return (x - mean) / deviation, mean, deviation


def masked_error(made: jax.Array, mask: jax.Array, x: jax.Array) -> jax.Array:
    """ℓ of patches made [B, N, D] and true, x [B, N, D], in which mask [B, N] is 1: [B]."""
    error = jnp.square(made - normalised(x)[0]).mean(-1)
    return (error * mask).sum(1) / mask.sum(1)


def mae(networks: dict[str, nn.Module], *, shape: tuple[int, ...]) -> Task:
    """Trains `networks["model"]`, (image [B, H, W, C], noise [B, N], train) -> (patches [B, N, D], mask [B, N]).

    Predictions, per example: `loss`, of patches drawn once and for all, the image as it was `seen`, and `painted`.

    Args:
      shape: (H, W, C) of an image.
    """
    model = networks["model"]
    count = (shape[0] // model.patch) * (shape[1] // model.patch)
    if not 0 < model.kept(count) < count:
        raise TrainingError(f"model.masked={model.masked} leaves {model.kept(count)} of {count} patches to see")

    def noise(keys):
        return jax.vmap(lambda key: jax.random.uniform(key, (count,)))(keys)

    def init(key, batch):
        params = model.init(key, batch["image"][:1], jnp.zeros((1, count)), train=False)["params"]
        return {"model": params}, {"model": {}}

    def loss(player, params, stats, batch, key, frozen, hyper):
        x, network = batch["image"], trained(networks, hyper)["model"]
        made, mask = network.apply({"params": params["model"]}, x, noise(example_keys(key, batch)), train=True)
        values = masked_error(made, mask, patches(x, model.patch))
        return values.sum(), jnp.asarray(len(x), values.dtype), ({"model": {}}, {})

    def predict(params, stats, batch, key, frozen):
        x, keys = batch["image"], example_keys(stream(key, "mask"), batch)
        made, mask = model.apply({"params": params["model"]}, x, noise(keys), train=False)
        true = patches(x, model.patch)
        _, mean, deviation = normalised(true)
        hidden = mask[..., None] > 0
        return {
            "loss": masked_error(made, mask, true),
            "seen": picture(jnp.where(hidden, 0, true), shape, model.patch),
            "painted": picture(jnp.where(hidden, made * deviation + mean, true), shape, model.patch),
        }

    return Task(
        players=("model",),
        init=init,
        loss=loss,
        predict=predict,
        metrics={"loss": metrics.mean("loss", "loss", "min")},
        best="loss",
        views=(views.image(), views.image("seen"), views.image("painted"), views.label()),
    )
