"""Translation between two sets of images without pairs: CycleGAN (Zhu et al. 2017).

A generator G takes a ∈ A ("image") to B ("other"), F takes b ∈ B to A, and D_A, D_B tell images of their set from made
ones. Equations 1 to 3 of the paper, with squares in place of logarithms (§4) and the identity loss (§5.2):

    generators       (D_B(G(a)) − 1)² + (D_A(F(b)) − 1)² + λ [|F(G(a)) − a| + |G(F(b)) − b|]
                                                         + λ ι [|G(b) − b| + |F(a) − a|]
    discriminators   ½ [(D_B(b) − 1)² + D_B(G(a)°)²] + ½ [(D_A(a) − 1)² + D_A(F(b)°)²]

Squares and absolute values are means over pixels, channels and patches. ° is the history of made images (Shrivastava
et al. 2017): once it is full, a made image is shown to the discriminator as it is with probability ½; otherwise it
takes the place of a stored one, drawn uniformly, which is shown instead.
"""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import metrics
from training.errors import TrainingError
from training.losses import absolute_error, per_example, squared_error
from training.metrics.readings import Reading
from training.task import Condition, Makes, Task, example_keys, init_network, module_key, stream, trained
from training.views import image

GENERATORS = {"image": "to_other", "other": "to_image"}  # field of the batch -> the network that translates it
OPPOSITE = {"image": "other", "other": "image"}
GROUPS = {"image": "", "other": "other"}  # field -> its group of examples
PLAYERS = {
    "generators": ("to_other", "to_image"),
    "discriminators": ("discriminator_other", "discriminator_image"),
}


def remember(
    history: jax.Array, count: jax.Array, made: jax.Array, keys: jax.Array, gather: Callable
) -> tuple[jax.Array, jax.Array]:
    """(images to show to the discriminator [B, H, W, C], new history).

    Images of the global batch that draw the same place are as if in order: the last one remains in it.

    Args:
      history: [N, H, W, C], the same on every device.
      count: [] int32, how many of its places are filled; below N, images are stored and shown as they are.
      made: [B, H, W, C].
      keys: [B], a key for each image.
      gather: [B, ...] -> the rows of all devices, [global B, ...].
    """
    size, full = len(history), count >= len(history)
    place = jax.vmap(lambda key: jax.random.randint(key, (), 0, size))(keys)
    swap = jax.vmap(lambda key: jax.random.bernoulli(stream(key, "swap")))(keys) & full
    shown = jnp.where(swap[:, None, None, None], history[place], made)

    images, places, stored = gather(made), gather(place), gather(swap)
    rows = jnp.arange(len(images))
    places, stored = jnp.where(full, places, count + rows), stored | ~full
    hits = (places == jnp.arange(size)[:, None]) & stored  # [N, global B]
    last = jnp.where(hits, rows, 0).max(1)
    return shown, jnp.where(hits.any(1)[:, None, None, None], images[last], history)


def translation(
    networks: dict[str, nn.Module],
    *,
    gather: Callable,
    cycle: float = 10.0,
    identity: float = 0.5,
    history: int = 50,
) -> Task:
    """Trains the generators `to_other` and `to_image`, (image [B, H, W, C], train) -> image, against
    `discriminator_other` and `discriminator_image`, (image, train) -> scores [B, ...].

    The batch has `image` and `other` [B, H, W, C] in [-1, 1] (data.scale="symmetric"), which are not pairs. The two
    generators are one player, the discriminators the other, and both see the same batch. Predictions are `to_other`,
    `to_image`, `cycle_image` = F(G(image)), `cycle_other` = G(F(other)), and of both fields the losses
    `cycle_loss_FIELD` and `identity_loss_FIELD` [B].

    Args:
      gather: the rows of all devices, [B, ...] -> [global B, ...].
      cycle: λ.
      identity: ι, relative to λ.
      history: images of each set that are remembered.
    """
    for name in (*PLAYERS["generators"], *PLAYERS["discriminators"]):
        if name not in networks:
            raise TrainingError(f"task 'translation' needs model.{name}; the page has {', '.join(networks)}")
    if history < 1:
        raise TrainingError(f"task.history={history}: at least 1")

    def translate(networks, params, field, x, train=False, rngs=None):
        name = GENERATORS[field]
        return networks[name].apply({"params": params["generators"][name]}, x, train=train, rngs=rngs)

    def score(networks, params, field, x, rngs):
        name = f"discriminator_{field}"
        return networks[name].apply({"params": params["discriminators"][name]}, x, train=True, rngs=rngs)

    def init(key, batch):
        params = {}
        for player, names in PLAYERS.items():
            params[player] = {}
            for name in names:
                params[player][name], stats = init_network(networks[name], stream(key, name), batch["image"][:1])
                if stats:
                    raise TrainingError(f"model.{name}: task 'translation' takes no network with {', '.join(stats)}")
        empty = {field: jnp.zeros((history, *batch[field].shape[1:]), batch[field].dtype) for field in GENERATORS}
        return params, {"generators": {}, "discriminators": {"buffers": {**empty, "count": jnp.zeros((), jnp.int32)}}}

    def play_generators(params, batch, key, hyper):
        own = trained(networks, hyper)
        fooled, returned, kept = 0.0, 0.0, 0.0
        for field, opposite in OPPOSITE.items():
            real, noise = batch[field], stream(key, field)
            rngs = lambda name, noise=noise: {"dropout": module_key(stream(noise, name), batch)}
            made = translate(own, params, field, real, True, rngs("made"))
            back = translate(own, params, opposite, made, True, rngs("back"))
            same = translate(own, params, opposite, real, True, rngs("same"))
            fooled += per_example(squared_error(score(own, params, opposite, made, rngs("score")), 1.0))
            returned += per_example(absolute_error(back, real))
            kept += per_example(absolute_error(same, real))
        weights = hyper["task"]
        values = fooled + weights["cycle"] * (returned + weights["identity"] * kept)
        return values, {"adversarial": fooled.sum(), "cycle": returned.sum(), "identity": kept.sum()}

    def play_discriminators(params, buffers, batch, key, hyper):
        own, values, sums, moved = trained(networks, hyper), 0.0, {}, {}
        for field, opposite in OPPOSITE.items():
            noise = stream(key, field)
            rngs = lambda name, noise=noise: {"dropout": module_key(stream(noise, name), batch)}
            made = translate(own, params, field, batch[field], True, rngs("made"))
            keys = example_keys(stream(noise, "history"), batch, GROUPS[field])
            shown, moved[opposite] = remember(buffers[opposite], buffers["count"], made, keys, gather)
            real = score(own, params, opposite, batch[opposite], rngs("real"))
            fake = score(own, params, opposite, shown, rngs("fake"))
            values += (per_example(squared_error(real, 1.0)) + per_example(squared_error(fake, 0.0))) / 2
            sums |= {f"real_{opposite}": per_example(real).sum(), f"fake_{opposite}": per_example(fake).sum()}
        rows = gather(batch["id"]).shape[0]
        moved["count"] = jnp.minimum(buffers["count"] + rows, history).astype(jnp.int32)
        return values, sums, moved

    def loss(player, params, stats, batch, key, frozen, hyper):
        if player == "generators":
            values, sums = play_generators(params, batch, key, hyper)
            moved = {}
        else:
            values, sums, buffers = play_discriminators(params, stats[player]["buffers"], batch, key, hyper)
            moved = {"buffers": jax.lax.stop_gradient(buffers)}
        return values.sum(), jnp.asarray(len(values), values.dtype), ({player: moved}, sums)

    def predict(params, stats, batch, key, frozen):
        outputs = {}
        for field, opposite in OPPOSITE.items():
            real = batch[field]
            made = translate(networks, params, field, real)
            back, same = (translate(networks, params, opposite, x) for x in (made, real))
            outputs |= {GENERATORS[field]: made, f"cycle_{field}": back}
            outputs[f"cycle_loss_{field}"] = per_example(absolute_error(back, real))
            outputs[f"identity_loss_{field}"] = per_example(absolute_error(same, real))
        return outputs

    def draw(params, stats, key, condition, frozen):
        return {"image": translate(networks, params, "image", condition["image"])}

    return Task(
        players=tuple(PLAYERS),
        needs=("other",),
        init=init,
        loss=loss,
        predict=predict,
        metrics={name: over_both(name) for name in ("cycle", "identity")},
        numbers=("cycle", "identity"),
        makes=Makes(draw, given={"image": Condition("image", required=True)}),
        views=(
            image("image", "A"),
            image("to_other", "A to B"),
            image("cycle_image", "A to B to A"),
            image("other", "B"),
            # Where a user's picture is answered there is no other.
            dataclasses.replace(image("to_image", "B to A"), needs=("other", "to_image")),
            dataclasses.replace(image("cycle_other", "B to A to B"), needs=("other", "cycle_other")),
        ),
        outputs={"to_other": "image"},
    )


def over_both(name: str) -> metrics.Metric:
    """`name`: the mean of a loss over all of A plus its mean over all of B."""
    parts = {field: metrics.mean(f"{name}_loss_{field}", name, group=group) for field, group in GROUPS.items()}
    update = lambda outputs, batch: {field: part.update(outputs, batch) for field, part in parts.items()}
    compute = lambda sums: {name: sum(part.compute(sums[field])[name] for field, part in parts.items())}
    return metrics.Metric(update, compute, {name: Reading("min")})
