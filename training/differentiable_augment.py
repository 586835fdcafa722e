"""Augmentations that a discriminator's gradient passes through, for data and samples alike (Zhao et al. 2020).

Of images [H, W, C] in [-1, 1], one at a time; "for D and G, real and fake" (figure 4).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from training.errors import choose


def color(image: jax.Array, key: jax.Array) -> jax.Array:
    """Brightness by ±½, saturation by a factor of 0 to 2, contrast by one of ½ to 1½, in this order."""
    brightness, saturation, contrast = jax.random.uniform(key, (3,), image.dtype)
    image = image + (brightness - 0.5)
    grey = image.mean(-1, keepdims=True)
    image = grey + (image - grey) * 2 * saturation
    mean = image.mean()
    return mean + (image - mean) * (contrast + 0.5)


def translation(image: jax.Array, key: jax.Array) -> jax.Array:
    """A shift by whole pixels, up to an eighth of the side; 0 from outside."""
    most = jnp.array([round(side / 8) for side in image.shape[:2]])
    down, right = jax.random.randint(key, (2,), -most, most + 1)
    pads = [(side // 8 + 1,) * 2 for side in image.shape[:2]]
    padded = jnp.pad(image, [*pads, (0, 0)])
    return jax.lax.dynamic_slice(padded, (pads[0][0] + down, pads[1][0] + right, 0), image.shape)


def cutout(image: jax.Array, key: jax.Array) -> jax.Array:
    """A square of half the side becomes 0; its centre is anywhere in the image."""
    height, width = image.shape[:2]
    y, x = jax.random.randint(key, (2,), 0, jnp.array([height, width]))
    rows, columns = (jnp.abs(jnp.arange(side) - at + 0.5) < side / 4 for side, at in ((height, y), (width, x)))
    return jnp.where(rows[:, None, None] & columns[None, :, None], 0, image)


POLICIES = {"color": color, "translation": translation, "cutout": cutout}


def augmentation(names: Sequence[str]):
    """(images [B, H, W, C], keys [B]) -> images: the policies in their order. Raises TrainingError for another name."""
    policies = [choose(POLICIES, "task.augment", name) for name in names]

    def augment(images, keys):
        for i, policy in enumerate(policies):
            images = jax.vmap(policy)(images, jax.vmap(jax.random.fold_in, (0, None))(keys, i))
        return images

    return augment
