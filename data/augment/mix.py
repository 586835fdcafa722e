"""Augmentations that join two examples.

The label becomes `mix` [B] of the own and 1 - `mix` of `label_mix` [B]. The partner is the neighbour in the pair
(0, 1), (2, 3), ..., so it is the same on one device and on many, as long as each holds an even number of examples;
the last of an odd number is its own partner.
"""

import jax
import jax.numpy as jnp

from data.augment.erase import rectangle
from data.errors import DataError
from data.fields import of_kind
from data.specs import check_range


def mixup(alpha: float = 0.2, *, info):
    """λ x + (1 - λ) x', with λ ~ Beta(alpha, alpha) per example (Zhang et al. 2018, equation 1)."""
    check_range("alpha", alpha, 1e-3)

    def join(image, other, key):
        own = jax.random.beta(key, alpha, alpha, dtype=image.dtype)
        return own * image + (1 - own) * other, own

    return _over_pairs(join, info)


def cutmix(alpha: float = 1.0, probability: float = 1.0, *, info):
    """A rectangle of 1 - λ of the area comes from the partner (Yun et al. 2019, eq. 1-2).

    λ ~ Beta(alpha, alpha). The rectangle's centre is uniform, and λ is corrected for the part outside the image, as
    in the authors' code.
    """
    check_range("alpha", alpha, 1e-3)
    check_range("probability", probability, 0, 1)

    def join(image, other, key):
        coin, area_key, centre_key = jax.random.split(key, 3)
        share = 1 - jax.random.beta(area_key, alpha, alpha, dtype=image.dtype)
        whole = jnp.array(image.shape[:2])
        half = (whole * jnp.sqrt(share)).astype(int) // 2
        half = jnp.where(jax.random.bernoulli(coin, probability), half, 0)
        centre = jax.random.randint(centre_key, (2,), 0, whole)
        pasted = rectangle(image.shape, *(centre - half), *(2 * half))
        return jnp.where(pasted, other, image), 1 - pasted.mean(dtype=image.dtype)

    return _over_pairs(join, info)


def mixup_or_cutmix(mixup_alpha: float = 0.8, cutmix_alpha: float = 1.0, switch: float = 0.5, *, info):
    """For each example one of the two, CutMix with probability `switch` (Touvron et al. 2021, table 9)."""
    check_range("switch", switch, 0, 1)
    blended, pasted = mixup(mixup_alpha, info=info), cutmix(cutmix_alpha, info=info)

    def augment(batch, keys):
        paste = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, 0), switch))(keys)
        one, two = blended(batch, keys), pasted(batch, keys)
        changed = {
            name: jnp.where(paste.reshape(-1, *[1] * (x.ndim - 1)), two[name], x)
            for name, x in one.items()
            if name not in batch or name in of_kind(info.fields, "image")
        }
        return one | changed

    return augment


def _over_pairs(join, info):
    """Lift `join(image, partner's image, key) -> (image, weight of the own label)` to a batch.

    Raises DataError unless the data are one image and one label: nothing else of two examples can be joined.
    """
    ((image, *images), (label, *labels)) = (list(of_kind(info.fields, kind)) or [""] for kind in ("image", "label"))
    others = [*images, *labels, *(info.fields.keys() - of_kind(info.fields, "image", "label").keys())]
    if not image or not label or others:
        raise DataError("it joins an image and a label of two examples, but the data have " + ", ".join(info.fields))

    def augment(batch, keys):
        if "mix" in batch:
            raise DataError("mixup and cutmix join two labels once: list one of them")
        index = jnp.arange(len(batch[label]))
        partner = jnp.minimum(index ^ 1, len(index) - 1)
        mixed, own = jax.vmap(join)(batch[image], batch[image][partner], keys)
        return batch | {image: mixed, "label_mix": jnp.asarray(batch[label])[partner], "mix": own}

    return augment
