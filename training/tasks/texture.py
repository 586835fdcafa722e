"""Texture synthesis: an image whose features have the correlations of another's (Gatys et al. 2015).

A frozen network gives maps F_l [M_l positions, N_l channels]. With the Gram matrix G_l = F_lᵀ F_l of the source, and
Ĝ_l that of the image that is made, equations 2 to 4 of the paper are

    E_l = 1 / (4 N_l² M_l²) Σ (G_l − Ĝ_l)²,    L = Σ_l w_l E_l,

with equal weights w_l that add up to `weight`. The pixels are the parameters, so each run makes one image.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import metrics
from training.errors import TrainingError, choose
from training.task import Makes, Task, init_network
from training.views import image


def gram(features: jax.Array) -> jax.Array:
    """1/M Fᵀ F of maps [B, h, w, N], M = h · w -> [B, N, N], at least in float32."""
    features = features.astype(jnp.promote_types(features.dtype, jnp.float32))
    positions = features.shape[1] * features.shape[2]
    return jnp.einsum("bhwn,bhwm->bnm", features, features, precision="highest") / positions


def gram_error(made: jax.Array, source: jax.Array) -> jax.Array:
    """E_l of maps [B or 1, h, w, N] and [B, h', w', N] -> [B]. Equation 3 where both have the same size."""
    difference = gram(made) - gram(source)
    return jnp.square(difference).mean((1, 2)) / 4


def texture(networks: dict[str, nn.Module], *, layers: tuple[str, ...] = ("stage1",), weight: float = 1.0) -> Task:
    """Descends on the image of `networks["model"]`, a module (train) -> [1, H, W, C].

    `networks["features"]`, frozen, is (image [B, H, W, C], train) -> {name of a layer: map [B, h, w, N]}. Each example
    of a batch is a source of texture; usually there is one. Predictions are the `image` that is made, and its `loss`.

    Args:
      layers: the maps whose correlations are matched.
      weight: Σ_l w_l.
    """
    model, features = networks["model"], networks["features"]

    def maps(frozen, x):
        found = features.apply(frozen["features"], x, train=False)
        return [choose(found, "task.layers", name) for name in layers]

    def errors(params, stats, batch, frozen):
        """(the image [1, H, W, C], E [B], the mean of E_l over the layers)."""
        made = model.apply({"params": params["image"], **stats["image"]}, train=False)
        pairs = zip(maps(frozen, made), maps(frozen, batch["image"]), strict=True)
        return made, sum(gram_error(ours, theirs) for ours, theirs in pairs) / len(layers)

    def init(key, batch):
        if not layers:
            raise TrainingError("task.layers is empty: a texture needs the maps of one layer at least")
        params, stats = init_network(model, key)
        return {"image": params}, {"image": stats}

    def loss(player, params, stats, batch, key, frozen, hyper):
        _, values = errors(params, stats, batch, frozen)
        return hyper["task"]["weight"] * values.sum(), jnp.asarray(len(values), values.dtype), (stats, {})

    def predict(params, stats, batch, key, frozen):
        made, values = errors(params, stats, batch, frozen)
        return {"made": jnp.broadcast_to(made, (len(values), *made.shape[1:])), "gram_error": values}

    def draw(params, stats, key, condition, frozen):
        return {"image": model.apply({"params": params["image"], **stats["image"]}, train=False)}

    return Task(
        players=("image",),
        init=init,
        loss=loss,
        predict=predict,
        metrics={"gram_error": metrics.mean("gram_error", "gram_error", better="min")},
        numbers=("weight",),
        best="gram_error",
        makes=Makes(draw, count=1),
        views=(image("image", "source"), image("made")),
    )
