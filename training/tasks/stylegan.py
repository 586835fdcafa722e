"""StyleGAN2: a GAN whose generator goes by way of styles w (Karras et al. 2020).

With r = D(T(x)) for data and f = D(T(G(z))) for samples, T an augmentation drawn for each (Zhao et al. 2020), an
example costs

    the discriminator    softplus(−r) + softplus(f) + ½ γ |∇D(T(x))|²         (R1: Mescheder et al. 2018, equation 9)
    the generator        softplus(−f) + λ (|Jᵀy| − a)²                        (equation 4)

where J is the derivative of the image by w, y ~ N(0, 1/HW), and a the moving average of |Jᵀy|. The paper evaluates the
penalties every 16 and 8 steps with weights as much larger; here they are in every step.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import metrics, views
from training.differentiable_augment import augmentation
from training.errors import TrainingError
from training.task import Condition, Makes, Task, example_keys, init_network, stream, trained

NETWORKS = ("discriminator", "generator")
DECAY = 0.99  # of the average length


def squared_gradient(score, x: jax.Array) -> jax.Array:
    """|∇score(x)|² for each example, [B]; `score`: [B, ...] -> [B], each example alone."""
    return jnp.square(jax.grad(lambda x: score(x).sum())(x)).reshape(len(x), -1).sum(1)


def path_lengths(paint, style: jax.Array, keys: jax.Array) -> jax.Array:
    """|Jᵀy| for each example, [B], with y ~ N(0, 1/HW) from its key; `paint`: [B, D] -> [B, H, W, C].

    It can be differentiated also where it is 0.
    """
    images, back = jax.vjp(paint, style)
    draw = lambda key: jax.random.normal(key, images.shape[1:], images.dtype)
    (gradient,) = back(jax.vmap(draw)(keys) / (images.shape[1] * images.shape[2]) ** 0.5)
    return jnp.sqrt(jnp.square(gradient).sum(1) + 1e-12)


def stylegan(
    networks: dict[str, nn.Module],
    *,
    gather: Callable,
    r1: float = 10.0,
    path: float = 2.0,
    augment: tuple[str, ...] = (),
) -> Task:
    """Trains `generator`, z [B, latent] -> images by its methods `style` and `paint` (models/generative/stylegan2.py),
    against `discriminator`, (image, train) -> [B].

    Every update sees its own batch and noise. Predictions are `real` and `fake`, the scores of each example and of one
    sample for it. Samples have the option `truncation`, ψ in w̄ + ψ (w − w̄), w̄ the mean style.

    Args:
      gather: the rows of all devices, [B, ...] -> [global B, ...].
      r1: γ.
      path: λ.
      augment: names of training.differentiable_augment.POLICIES.

    Raises:
      TrainingError: a network is missing, or the discriminator has statistics.
    """
    for name in NETWORKS:
        if name not in networks:
            raise TrainingError(f"task 'stylegan' needs model.{name}; the page has {', '.join(networks)}")
    vary = augmentation(augment)

    def noise(key, batch):
        draw = lambda key: jax.random.normal(key, (networks["generator"].latent,))
        return jax.vmap(draw)(example_keys(stream(key, "latent"), batch))

    def styles(networks, params, stats, z, train=False):
        """(w [B, D], the collections of the generator that moved)."""
        variables = {"params": params["generator"], "batch_stats": stats["generator"]["batch_stats"]}
        mutable = ["batch_stats"] if train else []
        return networks["generator"].apply(variables, z, train, mutable=mutable, method="style")

    def paint(networks, params, style):
        return networks["generator"].apply({"params": params["generator"]}, style, method="paint")

    def score(networks, params, x):
        return networks["discriminator"].apply({"params": params["discriminator"]}, x, train=True)

    def init(key, batch):
        first = {name: x[:1] for name, x in batch.items()}
        inputs = {"generator": noise(key, first), "discriminator": first["image"]}
        params, stats = {}, {}
        for name in NETWORKS:
            params[name], stats[name] = init_network(networks[name], stream(key, name), inputs[name])
        if stats["discriminator"]:
            raise TrainingError(f"task 'stylegan' takes no discriminator with {', '.join(stats['discriminator'])}")
        stats["generator"]["path"] = {"length": jnp.zeros((), first["image"].dtype)}
        return params, stats

    def loss(player, params, stats, batch, key, frozen, hyper):
        own, weights = trained(networks, hyper), hyper["task"]
        keys = lambda name: example_keys(stream(key, name), batch)
        style, moved = styles(own, params, stats, noise(key, batch), train=player == "generator")
        fake = score(own, params, vary(paint(own, params, style), keys("of fake")))
        if player == "discriminator":
            x = vary(batch["image"], keys("of real"))
            real, moved = score(own, params, x), {}
            values, sums = jax.nn.softplus(-real) + jax.nn.softplus(fake), {"real": real.sum(), "fake": fake.sum()}
            if r1:
                slope = squared_gradient(lambda x: score(own, params, x), x)
                values += weights["r1"] / 2 * slope
                sums["r1"] = slope.sum()
        else:
            values, sums = jax.nn.softplus(-fake), {"fake": fake.sum()}
            length = stats["generator"]["path"]["length"]
            if path:
                lengths = path_lengths(lambda style: paint(own, params, style), style, keys("path"))
                length = DECAY * length + (1 - DECAY) * jax.lax.stop_gradient(gather(lengths).mean())
                values += weights["path"] * jnp.square(lengths - length)
                sums["path"] = lengths.sum()
            moved = {"batch_stats": moved["batch_stats"], "path": {"length": length}}
        return values.sum(), jnp.asarray(len(values), values.dtype), ({player: moved}, sums)

    def predict(params, stats, batch, key, frozen):
        style, _ = styles(networks, params, stats, noise(key, batch))
        fake = score(networks, params, paint(networks, params, style))
        return {"real": score(networks, params, batch["image"]), "fake": fake}

    def draw_images(params, stats, key, condition, frozen, truncation: float = 1.0):
        z = condition.get("latent", noise(key, condition))
        style, _ = styles(networks, params, stats, z)
        mean = stats["generator"]["batch_stats"]["to_style"]["mean"]
        return {"image": paint(networks, params, mean + truncation * (style - mean))}

    return Task(
        players=NETWORKS,
        fresh=True,
        init=init,
        loss=loss,
        predict=predict,
        metrics={name: metrics.mean(name, name) for name in ("real", "fake")},
        numbers=tuple(name for name, weight in (("r1", r1), ("path", path)) if weight),
        best="",  # neither score tells how good the samples are
        makes=Makes(
            draw_images,
            given={"latent": Condition("array", (networks["generator"].latent,))},
            options={"truncation": 1.0},
        ),
        views=(views.image(),),
    )
