"""Translation of images by pairs: pix2pix (Isola et al. 2017).

A generator G takes x ("image") to y ("target"), and a discriminator D tells pairs (x, y) from pairs (x, G(x)); the
noise is dropout inside G. Equations 1 to 4 of the paper, with −log D in place of log(1 − D) and half of the loss of D
(§3.3); scores are logits of patches:

    discriminator    ½ [softplus(−D(x, y)) + softplus(D(x, G(x)))]
    generator        softplus(−D(x, G(x))) + λ |y − G(x)|

Values are means over patches, and |·| over pixels and channels. In tests, dropout is drawn as in training, and
normalisations use the statistics of each image alone (§3.4).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import metrics
from training.errors import TrainingError
from training.losses import absolute_error, per_example
from training.task import Condition, Makes, Task, example_keys, init_network, module_key, stream, trained
from training.views import image

NETWORKS = ("discriminator", "generator")  # who descends, in this order


def pix2pix(networks: dict[str, nn.Module], *, reconstruction: float = 100.0) -> Task:
    """Trains `generator`, (image [B, H, W, C], train) -> image, against `discriminator`, (both images of a pair in the
    channels, train) -> scores [B, ...]. Both players see the same batch.

    The batch has `image` and `target` [B, H, W, C] in [-1, 1] (data.scale="symmetric"). Predictions are `translated`
    and its `l1` [B], the mean absolute difference from the target, in units of the scale.

    Args:
      reconstruction: λ.

    Raises:
      TrainingError: a network is missing or has statistics.
    """
    for name in NETWORKS:
        if name not in networks:
            raise TrainingError(f"task 'pix2pix' needs model.{name}; the page has {', '.join(networks)}")

    def score(networks, params, x, y, key):
        pair = jnp.concatenate([x, y], axis=-1)
        rngs = {"dropout": key}
        return networks["discriminator"].apply({"params": params["discriminator"]}, pair, train=True, rngs=rngs)

    def translate(networks, params, x, train, key):
        return networks["generator"].apply({"params": params["generator"]}, x, train=train, rngs={"dropout": key})

    def init(key, batch):
        x = batch["image"][:1]
        if batch["target"].shape != batch["image"].shape:
            found = " and ".join("×".join(map(str, batch[name].shape[1:])) for name in ("image", "target"))
            raise TrainingError(f"task 'pix2pix' needs images and targets of one shape, not {found}")
        inputs, params = {"generator": x, "discriminator": jnp.concatenate([x, x], axis=-1)}, {}
        for name in NETWORKS:
            params[name], stats = init_network(networks[name], stream(key, name), inputs[name])
            if stats:
                raise TrainingError(f"model.{name}: task 'pix2pix' takes no network with {', '.join(stats)}")
        return params, {name: {} for name in NETWORKS}

    def loss(player, params, stats, batch, key, frozen, hyper):
        own, (x, y) = trained(networks, hyper), (batch["image"], batch["target"])
        noise = lambda name: module_key(stream(key, name), batch)
        made = translate(own, params, x, True, noise("made"))
        fake = score(own, params, x, made, noise("fake"))
        if player == "discriminator":
            real = score(own, params, x, y, noise("real"))
            values = (per_example(jax.nn.softplus(-real)) + per_example(jax.nn.softplus(fake))) / 2
            sums = {"real": per_example(real).sum(), "fake": per_example(fake).sum()}
        else:
            fooled, away = per_example(jax.nn.softplus(-fake)), per_example(absolute_error(made, y))
            values = fooled + hyper["task"]["reconstruction"] * away
            sums = {"adversarial": fooled.sum(), "l1": away.sum()}
        return values.sum(), jnp.asarray(len(values), values.dtype), ({player: {}}, sums)

    def alone(params, batch, key):
        """Each image as a batch of one, whose dropout follows the example."""
        one = lambda x, key: translate(networks, params, x[None], False, key)[0]
        return jax.vmap(one)(batch["image"], example_keys(stream(key, "made"), batch))

    def predict(params, stats, batch, key, frozen):
        made = alone(params, batch, key)
        return {"translated": made, "l1": per_example(absolute_error(made, batch["target"]))}

    def draw(params, stats, key, condition, frozen):
        return {"image": alone(params, condition, key)}

    return Task(
        players=NETWORKS,
        needs=("target",),
        init=init,
        loss=loss,
        predict=predict,
        metrics={"l1": metrics.mean("l1", "l1", "min")},
        numbers=("reconstruction",),
        makes=Makes(draw, given={"image": Condition("image", required=True)}),
        views=(image("image", "input"), image("translated"), image("target")),
        outputs={"translated": "image"},
    )
