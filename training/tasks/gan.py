"""Generative adversarial networks: a generator G and its adversary D, two players of one step.

With r = D(x) for data and f = D(G(z)) for samples, z from a prior, an example costs

                     the adversary                              the generator
    non_saturating   softplus(−r) + softplus(f)                 softplus(−f)     Goodfellow et al. 2014
    hinge            max(0, 1 − r) + max(0, 1 + f)              −f               Lim & Ye 2017
    wasserstein      f − r                                      −f               Arjovsky et al. 2017
    least_squares    ½ (r − 1)² + ½ f²                          ½ (f − 1)²       Mao et al. 2017, eq. 9

and with a gradient penalty the adversary also λ (‖∇D(x̂)‖ − 1)², x̂ = ε x + (1 − ε) G(z), ε uniform and the norm taken
for each example (Gulrajani et al. 2017, algorithm 1).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.interfaces import Conditional, Generator
from training import metrics, views
from training.errors import TrainingError, choose
from training.task import (
    Condition,
    Makes,
    Task,
    example_keys,
    init_network,
    module_key,
    sample_labels,
    stream,
    trained,
)

# name -> (of the adversary: (real, fake) -> [B]; of the generator: fake -> [B])
LOSSES = {
    "non_saturating": (lambda r, f: jax.nn.softplus(-r) + jax.nn.softplus(f), lambda f: jax.nn.softplus(-f)),
    "hinge": (lambda r, f: jax.nn.relu(1 - r) + jax.nn.relu(1 + f), lambda f: -f),
    "wasserstein": (lambda r, f: f - r, lambda f: -f),
    "least_squares": (lambda r, f: ((r - 1) ** 2 + f**2) / 2, lambda f: (f - 1) ** 2 / 2),
}
PRIORS = {
    "normal": lambda key, size: jax.random.normal(key, (size,)),
    "uniform": lambda key, size: jax.random.uniform(key, (size,), minval=-1, maxval=1),
}


def penalty(score, x: jax.Array) -> jax.Array:
    """(‖∇score(x)‖ − 1)² for each example, [B]; `score`: [B, ...] -> [B], each example alone.

    The norm is over all axes but the first, and can be differentiated also where the gradient vanishes.
    """
    gradient = jax.grad(lambda x: score(x).sum())(x)
    squares = jnp.square(gradient).reshape(len(x), -1).sum(1)
    return jnp.square(jnp.sqrt(squares + 1e-12) - 1)


def gan(
    networks: dict[str, nn.Module],
    *,
    loss: str = "non_saturating",
    updates: int = 1,
    gradient_penalty: float = 0.0,
    prior: str = "normal",
) -> Task:
    """Trains `generator`, (z [B, latent], train, label) -> images, against the other network, which may be called
    `discriminator` or `critic`: (image, train, label) -> [B].

    Every update sees its own batch and noise. Where the networks are conditional, samples have the labels of the
    batch. Statistics of a player's batches move in its own updates alone; real and generated images are
    separate batches. Predictions are `real` and `fake`, the scores of each example and of one sample for it.

    Args:
      loss: of LOSSES.
      updates: of the adversary for one of the generator.
      gradient_penalty: λ; 0 leaves the penalty out of the program.
      prior: of z, in PRIORS.
    """
    adversary = _adversary(networks)
    adversary_loss, generator_loss = choose(LOSSES, "task.loss", loss)
    draw = choose(PRIORS, "task.prior", prior)
    if updates < 1:
        raise TrainingError(f"task.updates={updates}: the {adversary} needs at least one")
    conditional = "label" in networks["generator"].conditions
    kind = "array" if tuple(networks["generator"].shape) == (1, 1, 2) else "image"  # points of the plane

    def apply(networks, name, params, stats, x, batch, key, train):
        """Output and new statistics of `networks[name]`."""
        label = {"label": batch["label"]} if conditional else {}
        return networks[name].apply(
            {"params": params[name], **stats[name]},
            x,
            train=train,
            **label,
            mutable=list(stats[name]) if train else [],
            rngs={"dropout": module_key(key, batch)},
        )

    def noise(key, batch):
        keys = example_keys(stream(key, "latent"), batch)
        return jax.vmap(lambda key: draw(key, networks["generator"].latent))(keys)

    def init(key, batch):
        first = {name: x[:1] for name, x in batch.items()}
        label = {"label": first["label"]} if conditional else {}
        inputs = {"generator": noise(key, first), adversary: first["image"]}
        params, stats = {}, {}
        for name in networks:
            params[name], stats[name] = init_network(networks[name], stream(key, name), inputs[name], **label)
        if gradient_penalty and stats[adversary]:
            raise TrainingError(f"task.gradient_penalty needs a {adversary} without {', '.join(stats[adversary])}")
        fake, _ = apply(networks, "generator", params, stats, inputs["generator"], first, key, False)
        if fake.shape != first["image"].shape:
            raise TrainingError(f"the generator makes {fake.shape[1:]}, but images are {first['image'].shape[1:]}")
        return params, stats

    def play_adversary(networks, params, stats, batch, key, hyper):
        real, z = batch["image"], noise(key, batch)
        fake, _ = apply(networks, "generator", params, stats, z, batch, key, True)
        r, moved = apply(networks, adversary, params, stats, real, batch, stream(key, "real"), True)
        f, moved = apply(
            networks, adversary, params, {**stats, adversary: moved}, fake, batch, stream(key, "fake"), True
        )
        values, sums = adversary_loss(r, f), {"real": r.sum(), "fake": f.sum()}
        if gradient_penalty:
            keys = example_keys(stream(key, "mix"), batch)
            share = jax.vmap(lambda key: jax.random.uniform(key, (1,) * (real.ndim - 1), real.dtype))(keys)
            score = lambda x: apply(networks, adversary, params, stats, x, batch, stream(key, "penalty"), True)[0]
            extra = penalty(score, share * real + (1 - share) * fake)
            values += hyper["task"]["gradient_penalty"] * extra
            sums["penalty"] = extra.sum()
        return values, moved, sums

    def play_generator(networks, params, stats, batch, key, hyper):
        fake, moved = apply(networks, "generator", params, stats, noise(key, batch), batch, key, True)
        f, _ = apply(networks, adversary, params, stats, fake, batch, stream(key, "fake"), True)
        return generator_loss(f), moved, {"fake": f.sum()}

    def player_loss(player, params, stats, batch, key, frozen, hyper):
        play = play_generator if player == "generator" else play_adversary
        values, moved, sums = play(trained(networks, hyper), params, stats, batch, key, hyper)
        return values.sum(), jnp.asarray(len(values), values.dtype), ({player: moved}, sums)

    def predict(params, stats, batch, key, frozen):
        fake, _ = apply(networks, "generator", params, stats, noise(key, batch), batch, key, False)
        real, _ = apply(networks, adversary, params, stats, batch["image"], batch, key, False)
        fake, _ = apply(networks, adversary, params, stats, fake, batch, key, False)
        return {"real": real, "fake": fake}

    def draw_images(params, stats, key, condition, frozen):
        """Samples of the classes `condition["label"]` and from the codes `condition["latent"]`, where given."""
        condition = {**condition, "label": sample_labels(networks["generator"], condition)}
        z = condition.get("latent", noise(key, condition))
        images, _ = apply(networks, "generator", params, stats, z, condition, key, False)
        return {kind: images}

    return Task(
        players=(adversary,) * updates + ("generator",),
        needs=("label",) if conditional else (),
        fresh=True,
        init=init,
        loss=player_loss,
        predict=predict,
        metrics={name: metrics.mean(name, name) for name in ("real", "fake")},
        numbers=("gradient_penalty",) if gradient_penalty else (),
        best="",  # neither score tells how good the samples are
        makes=Makes(
            draw_images,
            kind,
            given={
                "latent": Condition("array", (networks["generator"].latent,)),
                **({"label": Condition("label")} if conditional else {}),
            },
        ),
        views=(views.image(), views.label()),
    )


def _adversary(networks) -> str:
    """The name of the network beside the generator. Raises TrainingError unless the two make a GAN."""
    others = [name for name in networks if name != "generator"]
    if "generator" not in networks or len(others) != 1:
        raise TrainingError(f"a GAN needs the networks generator and discriminator, found {', '.join(networks)}")
    for key, network in networks.items():
        if not isinstance(network, Conditional) or isinstance(network, Generator) != (key == "generator"):
            raise TrainingError(f"model.{key}: {type(network).__name__} is not a network for a GAN")
    if len({network.conditions for network in networks.values()}) > 1:
        raise TrainingError(f"model: either both generator and {others[0]} are conditional, or neither")
    return others[0]
