"""Metric learning with triplets: an anchor a, a positive p of its class and a negative n of another.

With unit embeddings and the squared distance d(x, y) = ‖f(x) − f(y)‖², a triplet costs [d(a, p) − d(a, n) + α]₊, and
the triplets of a batch are

    semi_hard    every pair (a, p), with the nearest n for which d(a, p) < d(a, n) < d(a, p) + α; a pair without such
                 an n does not count                                            Schroff et al. 2015, §3.2
    batch_hard   every a, with the farthest p and the nearest n of the batch    Hermans et al. 2017, eq. 5

The negatives of an anchor are those of the global batch on any number of devices. Batches of P classes × K examples
(data.sampler="pk(P, K)") have positives for every anchor.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from training.errors import choose
from training.metrics.retrieval import Retrieval
from training.task import Task, apply_in_training, init_network, trained
from training.views import classed, image


def squared_distances(x: jax.Array, y: jax.Array) -> jax.Array:
    """‖x_i − y_j‖² of [N, D] and [M, D] -> [N, M], at least 0."""
    squares = jnp.square(x).sum(-1)[:, None] + jnp.square(y).sum(-1)
    return jnp.maximum(squares - 2 * jnp.matmul(x, y.T, precision="highest"), 0)


def semi_hard(distances, positive, negative, margin) -> tuple[jax.Array, jax.Array]:
    """(values, weights), [N, M] each: of the pairs of anchor and positive.

    Args:
      distances: [N, M], squared, of N anchors to M examples.
      positive, negative: [N, M] bool, which of the examples are of the anchor's class, and of another.
      margin: α.
    """

    def nearest_beyond(distances, negative):
        """For each example, [M], how much farther the nearest negative is that is farther: in (0, ∞], or ≤ 0."""
        negatives = jnp.sort(jnp.where(negative, distances, jnp.inf))
        place = jnp.searchsorted(negatives, distances, side="right")  # the first that is strictly farther
        return negatives[jnp.minimum(place, len(negatives) - 1)] - distances

    gap = jax.vmap(nearest_beyond)(distances, negative)
    counts = positive & (gap > 0) & (gap < margin)
    return jnp.where(counts, margin - gap, 0), counts


def batch_hard(distances, positive, negative, margin) -> tuple[jax.Array, jax.Array]:
    """(values, weights), [N] each: of the anchors that have a positive and a negative; see `semi_hard`."""
    farthest = jnp.where(positive, distances, 0).max(-1)
    counts = positive.any(-1) & negative.any(-1)
    nearest = jnp.where(negative, distances, jnp.inf).min(-1)
    return jax.nn.relu(jnp.where(counts, farthest - jnp.where(counts, nearest, 0) + margin, 0)), counts


MINING = {"semi_hard": semi_hard, "batch_hard": batch_hard}


def metric_learning(
    networks: dict[str, nn.Module],
    *,
    gather: Callable,
    mining: str = "semi_hard",
    margin: float = 0.2,
    recall: tuple[int, ...] = (1, 5),
) -> Task:
    """Trains `networks["model"]`, a module (image [B, H, W, C], train) -> embeddings [B, D] of length 1.

    The batch has `image` and `label` [B] (−1: in no triplet). Predictions are the `embedding` [B, D] and `nearest`
    [B, H, W, C], the nearest other image of the batch; retrieval over the whole split is an evaluator.

    Args:
      gather: the rows of all devices, [B, ...] -> [global B, ...].
      mining: of MINING.
      margin: α.
      recall: the k of recall@k.
    """
    model = networks["model"]
    triplets = choose(MINING, "task.mining", mining)

    def init(key, batch):
        params, stats = init_network(model, key, batch["image"][:1])
        return {"model": params}, {"model": stats}

    def loss(player, params, stats, batch, key, frozen, hyper):
        model = trained(networks, hyper)["model"]
        x, moved = apply_in_training(model, params["model"], stats["model"], key, batch, batch["image"])
        label, ids = batch["label"], batch["id"]
        others, labels = gather(x), gather(label)
        known = (label >= 0)[:, None] & (labels >= 0)
        same = label[:, None] == labels
        positive = known & same & (ids[:, None] != gather(ids))
        negative = known & ~same
        distances = squared_distances(x, others)
        values, counts = triplets(distances, positive, negative, hyper["task"]["margin"])
        weight = counts.sum().astype(values.dtype)
        sums = {"active": (values > 0).sum().astype(values.dtype)}
        return values.sum(), weight, ({"model": moved}, sums)

    def predict(params, stats, batch, key, frozen):
        x = model.apply({"params": params["model"], **stats["model"]}, batch["image"], train=False)
        usable = gather(batch.get("mask", jnp.ones(len(x), bool))) & (batch["id"][:, None] != gather(batch["id"]))
        nearest = jnp.where(usable, squared_distances(x, gather(x)), jnp.inf).argmin(-1)
        return {"embedding": x, "nearest": gather(batch["image"])[nearest]}

    return Task(
        players=("model",),
        needs=("label",),
        init=init,
        loss=loss,
        predict=predict,
        evaluators={"retrieval": Retrieval(recall)},
        pairs=True,
        numbers=("margin",),
        best=f"recall_at_{recall[0]}",
        views=(image("image", "query"), classed("label", title="class"), image("nearest", "nearest in the batch")),
        outputs={"embedding": "number"},
    )
