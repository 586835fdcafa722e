"""Autoregressive models: an image one value after the other, p(x) = Π_n p(x_n | x_1, …, x_{n−1}).

The order is that of reading: row by row, from left to right, and in a pixel channel by channel. Training and evaluation
take one pass for all n (van den Oord et al. 2016, section 3), an example costs

    ℓ = −log p(x) = −Σ_n log p(x_n | x_1, …, x_{n−1})   nats, or ℓ / (N log 2) bits per dimension of N,

and a sample takes a pass for each n, in which a network computes only what is new.
"""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import metrics, views
from training.errors import TrainingError, choose
from training.likelihoods import PIXEL_LIKELIHOODS
from training.task import (
    Condition,
    Makes,
    Task,
    apply_in_training,
    conditions,
    example_keys,
    init_network,
    sample_labels,
    trained,
)


def autoregressive(
    networks: dict[str, nn.Module], *, shape: tuple[int, ...], scale: str, likelihood: str = "bernoulli"
) -> Task:
    """Trains `networks["model"]`, (x [B, H, W, C], train, label) -> [B, H, W, F], an `Autoregressive` network.

    With a frozen network `codec`, a `Quantiser`, x are its codes [B, h, w, 1], divided by their largest number, and
    samples are the images that it makes of codes drawn. Otherwise x are the images. Predictions, per example: `nll` in
    nats and `bits_per_dim`.

    Args:
      shape: (H, W, C) of an image.
      scale: of the data; a likelihood has its own, which codes always have.
      likelihood: of PIXEL_LIKELIHOODS; it sets how many numbers F the network gives. "categorical" quantises x to as
        many levels as there are logits.

    Raises TrainingError where the data or the network do not fit the likelihood.
    """
    model, codec = networks["model"], networks.get("codec")
    p = choose(PIXEL_LIKELIHOODS, "task.likelihood", likelihood)
    if codec is None and scale != p.scale:
        raise TrainingError(f"task.likelihood={likelihood!r} needs data.scale={p.scale!r}, not {scale!r}")
    if codec is not None and likelihood != "categorical":
        raise TrainingError(f"task.likelihood={likelihood!r}: codes are numbers of a table, so it is 'categorical'")
    conditional = "label" in conditions(model)

    def inputs(frozen, images):
        """What is modelled, [B, H, W, C]."""
        if codec is None:
            return images
        codes = codec.apply(frozen["codec"], images, method="encode")
        return codes[..., None].astype(images.dtype) / (codec.codes - 1)

    def label(batch):
        return {"label": batch["label"]} if conditional else {}

    def per_position(x, positions=None):
        """[B, H, W, D] as [B, N, D / …], N positions; by default those of an image."""
        return x.reshape(len(x), positions or math.prod(x.shape[1 : 3 if p.joint else 4]), -1)

    def log_likelihood(output, x):
        """log p(x), [B]."""
        x = per_position(x)
        return p.log_prob(per_position(output, x.shape[1]), x).sum(1)

    def check(output, x):
        """Raises TrainingError unless the network gives what the likelihood takes."""
        channels = x.shape[-1] if p.joint else 1
        numbers, rest = divmod(math.prod(output.shape[1:]), math.prod(x.shape[1:]) // channels)
        if rest or not p.fits(numbers, channels):
            raise TrainingError(
                f"task.likelihood={likelihood!r} takes {p.takes}, but the network gives {output.shape[-1]} numbers for"
                f" a pixel with {x.shape[-1]} channel(s)"
            )
        if codec is not None and numbers != codec.codes:
            raise TrainingError(f"frozen.codec has {codec.codes} codes, but the network gives {numbers} logits")

    def init(key, batch):
        image = batch["image"][:1]
        variables = {} if codec is None else jax.eval_shape(partial(codec.init, train=False), key, image)
        x = jnp.zeros_like(jax.eval_shape(inputs, {"codec": variables}, image))
        given = {name: labels[:1] for name, labels in label(batch).items()}
        params, stats = init_network(model, key, x, **given)
        check(jax.eval_shape(partial(model.apply, train=False), {"params": params, **stats}, x, **given), x)
        return {"model": params}, {"model": stats}

    def measures(nll, x):
        return {"nll": nll, "bits_per_dim": nll / (math.prod(x.shape[1:]) * math.log(2))}

    def loss(player, params, stats, batch, key, frozen, hyper):
        x, network = inputs(frozen, batch["image"]), trained({"model": model}, hyper)["model"]
        output, moved = apply_in_training(network, params["model"], stats["model"], key, batch, x, **label(batch))
        values = -log_likelihood(output, x)
        sums = {"bits_per_dim": measures(values, x)["bits_per_dim"].sum()}
        return values.sum(), jnp.asarray(len(x), values.dtype), ({"model": moved}, sums)

    def predict(params, stats, batch, key, frozen):
        x = inputs(frozen, batch["image"])
        output = model.apply({"params": params["model"], **stats["model"]}, x, train=False, **label(batch))
        return measures(-log_likelihood(output, x), x)

    def draw(params, stats, key, condition, frozen, *, temperature: float = 1.0, keep: float = 0.5):
        """Images of the classes `condition["label"]` where given. Of `condition["image"]`, if given, the upper part of
        the rows stays, its share is `keep`, and the rest is drawn."""
        if not temperature > 0:
            raise TrainingError(f"temperature={temperature} is not above 0")
        if not 0 <= keep <= 1:
            raise TrainingError(f"keep={keep} is not a share between 0 and 1")
        if "image" in condition and condition["image"].shape[1:] != tuple(shape):
            raise TrainingError(f"the image to complete is {condition['image'].shape[1:]}, not {tuple(shape)}")
        classes = sample_labels(model, condition)
        given = {} if classes is None else {"label": classes}
        keys, variables = example_keys(key, condition), {"params": params["model"], **stats["model"]}
        blank = jnp.zeros((len(keys), *shape), jax.tree.leaves(params)[0].dtype)
        known = inputs(frozen, condition.get("image", blank))
        rows = round(keep * known.shape[1]) if "image" in condition else 0
        values = per_position(known)
        first = values.shape[1] * rows // known.shape[1]
        step = partial(model.apply, method="step", mutable=["cache"])
        like = jax.eval_shape(partial(model.init, method="step"), key, known, jnp.zeros((), jnp.int32), **given)
        cache = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like.get("cache", {}))

        def body(state, position):
            x, cache = state
            output, moved = step({**variables, "cache": cache}, x.reshape(known.shape), position, **given)
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, position)
            drawn = jax.vmap(partial(p.draw, x.shape[-1]), (0, 0, None))(own, output, temperature)
            value = jnp.where(position < first, values[:, position], drawn.astype(x.dtype))
            return (x.at[:, position].set(value), moved.get("cache", {})), None

        (x, _), _ = jax.lax.scan(body, (jnp.zeros_like(values), cache), jnp.arange(values.shape[1]))
        x = x.reshape(known.shape)
        if codec is None:
            return {"image": x}
        codes = jnp.round(x[..., 0] * (codec.codes - 1)).astype(jnp.int32)
        return {"image": codec.apply(frozen["codec"], codes, method="decode")}

    return Task(
        players=("model",),
        needs=("label",) if conditional else (),
        init=init,
        loss=loss,
        predict=predict,
        metrics={
            "nll": metrics.mean("nll", "nll", "min", "nats"),
            "bits_per_dim": metrics.mean("bits_per_dim", "bits_per_dim", "min", "bits/dim"),
        },
        best="nll",
        makes=Makes(
            draw,
            given={"image": Condition("image")} | ({"label": Condition("label")} if conditional else {}),
            options={"temperature": 1.0, "keep": 0.5},
        ),
        views=(views.image(), views.label()),
    )
