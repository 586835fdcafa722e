"""Vector-quantised autoencoders (van den Oord et al. 2017, equation 3).

With z = E(x), the vectors e of a book that are nearest to z, and x̂ = D(e), where gradients pass from e to z as if they
were one (straight through), an example costs

    ℓ = mean (x − x̂)² / variance + β mean (z − sg(e))²

without a term that moves the book: that is made of averages (appendix A.1). With n_k the uses of vector k in the global
batch, and s_k the sum of the z for which it was used,

    N_k ← γ N_k + (1 − γ) n_k,    m_k ← γ m_k + (1 − γ) s_k,    e_k = m_k / N̂_k,
    N̂_k = (N_k + ε) / (n + K ε) · n,  n = Σ_k N_k.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from training import metrics, views
from training.errors import TrainingError
from training.losses import per_example, squared_error
from training.metrics.readings import Reading
from training.task import Task, example_keys, init_network, stream, trained

EPSILON = 1e-5  # ε


def updated(buffers: dict, z: jax.Array, codes: jax.Array, decay, restart: float, keys: jax.Array) -> dict:
    """The book after a batch: {"book": [K, D], "uses": [K], "sums": [K, D]}.

    Args:
      z: [M, D], of the global batch.
      codes: [M], the vectors that were used for them.
      decay: γ.
      restart: a vector whose average use falls below this number of uses per batch starts again at a z of the batch.
      keys: [M], whose bits choose those z: the same on every device.
    """
    count = len(buffers["uses"])
    used = jax.nn.one_hot(codes, count, dtype=z.dtype)
    sums = jnp.einsum("mk,md->kd", used, z, precision="highest")
    average = lambda old, new: decay * old + (1 - decay) * new
    uses, sums = average(buffers["uses"], used.sum(0)), average(buffers["sums"], sums)
    if restart:
        # A random order of the batch, as often as it takes for K vectors.
        order = jnp.argsort(jax.vmap(jax.random.bits)(keys))
        fresh, dead = z[order[jnp.arange(count) % len(z)]], uses < restart
        uses, sums = jnp.where(dead, 1.0, uses), jnp.where(dead[:, None], fresh, sums)
    total = uses.sum()
    smoothed = (uses + EPSILON) / (total + count * EPSILON) * total
    return {"book": sums / smoothed[:, None], "uses": uses, "sums": sums}


def vq(
    networks: dict[str, nn.Module],
    *,
    gather,
    variance: float = 1.0,
    commitment: float = 0.25,
    decay: float = 0.99,
    restart: float = 0.0,
) -> Task:
    """Trains `networks["model"]`, a `Quantiser` with a method `reconstruct` (models/generative/vqvae.py).

    Predictions, per example: `nmse`, the mean squared error over the variance, and the `reconstructed` image. Over a
    set there are also `perplexity`, exp of the entropy of how often the codes were used, and `used`, the share of the
    codes that were. A network without a book (FSQ) has no commitment.

    Args:
      gather: the rows of all devices, [B, ...] -> [global B, ...].
      variance: of the images, as they are scaled; of CIFAR-10 0.2532 with data.scale="symmetric".
      commitment: β.
      decay: γ.
      restart: see `updated`; 0: never.
    """
    model = networks["model"]
    for name, number, good in (
        ("variance", variance, variance > 0),
        ("decay", decay, 0 <= decay < 1),
        ("restart", restart, restart >= 0),
    ):
        if not good:
            raise TrainingError(f"task.{name}={number} is out of its range")

    def init(key, batch):
        params, stats = init_network(model, key, batch["image"][:1])
        return {"model": params}, {"model": stats}

    def reconstruct(network, params, stats, x):
        made, z, codes = network.apply({"params": params["model"], **stats["model"]}, x, method="reconstruct")
        return made, z, codes, per_example(squared_error(made, x)) / variance

    def loss(player, params, stats, batch, key, frozen, hyper):
        x, own, network = batch["image"], stats["model"], trained(networks, hyper)["model"]
        _, z, codes, values = reconstruct(network, params, stats, x)
        sums = {"nmse": values.sum()}
        if "buffers" in own:
            vectors = jax.lax.stop_gradient(jnp.take(own["buffers"]["book"], codes, axis=0))
            committed = per_example(squared_error(z, vectors))
            values, sums = values + hyper["task"]["commitment"] * committed, {**sums, "commitment": committed.sum()}
            # As many keys as places: each example's own, folded with the number of the place.
            places = jnp.arange(codes[0].size)
            keys = jax.vmap(lambda key: jax.vmap(jax.random.fold_in, (None, 0))(key, places))
            keys = jax.random.key_data(keys(example_keys(stream(key, "restart"), batch)))
            flat = lambda x, *rest: gather(x).reshape(-1, *rest)
            batch_z, batch_codes = flat(jax.lax.stop_gradient(z), z.shape[-1]), flat(codes)
            keys = jax.random.wrap_key_data(flat(keys, *keys.shape[2:]))
            moved = updated(own["buffers"], batch_z, batch_codes, hyper["task"]["decay"], restart, keys)
            own = {**own, "buffers": moved}
        return values.sum(), jnp.asarray(len(x), values.dtype), ({"model": own}, sums)

    def predict(params, stats, batch, key, frozen):
        made, _, codes, values = reconstruct(model, params, stats, batch["image"])
        return {"nmse": values, "reconstructed": made, "codes": codes}

    return Task(
        players=("model",),
        init=init,
        loss=loss,
        predict=predict,
        metrics={"nmse": metrics.mean("nmse", "nmse", "min", scale="log"), "codes": usage(model.codes)},
        numbers=("commitment", "decay"),
        best="nmse",
        views=(views.image(), views.image("reconstructed"), views.label()),
    )


def usage(count: int) -> metrics.Metric:
    """`perplexity` and `used` of `outputs["codes"]` [B, ...], of `count` codes."""

    def update(outputs, batch):
        codes = outputs["codes"].reshape(len(outputs["codes"]), -1)
        counts = batch.get("mask", jnp.ones(len(codes), bool))[:, None]
        return jnp.zeros(count, jnp.int32).at[codes].add(counts.astype(jnp.int32))

    def compute(uses):
        p = np.asarray(uses, np.float64) / max(np.sum(uses), 1)
        entropy = -np.sum(p * np.log(np.where(p > 0, p, 1)))
        return {"perplexity": float(np.exp(entropy)), "used": float(np.mean(p > 0))}

    return metrics.Metric(update, compute, {"perplexity": Reading("max"), "used": Reading("max", "%")})
