"""Denoising by residual learning: the network answers with the noise of an image (Zhang et al. 2017).

With y = x + n, n ~ N(0, (σ/255)²) drawn at each use of an image x in [0, 1], the loss of equation 1 is

    ℓ = ½ ‖R(y) − n‖²

summed over pixels and channels, and the restored image is y − R(y). Neither y nor y − R(y) is clipped or rounded.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from training.errors import TrainingError
from training.losses import squared_error
from training.metrics.restoration import METRICS, psnr, ssim
from training.task import Task, apply_in_training, example_keys, init_network, stream, trained
from training.views import image


def with_noise(images: jax.Array, key: jax.Array, batch: dict, deviation: float) -> tuple[jax.Array, jax.Array]:
    """(images with noise, the noise), [B, H, W, C] each, in float32 at least; one draw for each use of an example."""
    dtype = jnp.promote_types(images.dtype, jnp.float32)
    draw = lambda key: jax.random.normal(key, images.shape[1:], dtype)
    noise = deviation * jax.vmap(draw)(example_keys(stream(key, "noise"), batch))
    return images + noise, noise


def restoration(networks: dict[str, nn.Module], *, scale: str, sigma: float = 25.0) -> Task:
    """Trains `networks["model"]`, a module (image with noise [B, H, W, C], train) -> its noise [B, H, W, C].

    The batch has `image` [B, H, W, C] in [0, 1] (data.scale="unit"). Predictions are `restored`, what the network
    makes of the image as it is, and a trial: `noisy`, the image with noise, `denoised`, what the network makes of that,
    and the trial's `psnr` and `ssim` [B] against the image. The noise of an example is the same in each evaluation.

    Args:
      scale: data.scale.
      sigma: σ, in levels of 255.

    Raises:
      TrainingError: another scale, or σ is not positive.
    """
    if scale != "unit":
        raise TrainingError(f"task 'restoration' needs data.scale='unit', not {scale!r}")
    if sigma <= 0:
        raise TrainingError(f"task.sigma={sigma}: above 0")
    model, deviation = networks["model"], sigma / 255

    def init(key, batch):
        params, stats = init_network(model, key, batch["image"][:1])
        return {"model": params}, {"model": stats}

    def loss(player, params, stats, batch, key, frozen, hyper):
        noisy, noise = with_noise(batch["image"], key, batch, deviation)
        network = trained(networks, hyper)["model"]
        found, moved = apply_in_training(network, params["model"], stats["model"], key, batch, noisy)
        values = squared_error(found, noise).sum((1, 2, 3)) / 2
        quality = psnr(noisy - found, batch["image"]).sum()
        return values.sum(), jnp.asarray(len(values), values.dtype), ({"model": moved}, {"psnr": quality})

    def predict(params, stats, batch, key, frozen):
        clean = batch["image"]
        noisy, _ = with_noise(clean, key, batch, deviation)
        restore = lambda x: x - model.apply({"params": params["model"], **stats["model"]}, x, train=False)
        denoised = restore(noisy)
        quality = {"psnr": psnr(denoised, clean), "ssim": ssim(denoised, clean)}
        return {"restored": restore(clean), "noisy": noisy, "denoised": denoised, **quality}

    return Task(
        players=("model",),
        init=init,
        loss=loss,
        predict=predict,
        metrics=METRICS,
        best="psnr",
        views=(
            image("image", "clean"),
            image("noisy"),
            image("denoised"),
            image("restored", "restored as is"),
        ),
        outputs={"restored": "image"},
        tiled=True,
    )
