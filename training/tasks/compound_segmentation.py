"""Semantic segmentation by a sum of losses that a page writes: loss="cross_entropy + 0.5 dice + 0.01 boundary".

The network, the batch and the predictions are those of the task `segmentation`. Its losses come back, and beside them

    jaccard     ℓ = 1 − TP/(TP + FP + FN)                         Rahman & Wang 2016, equation 3
    lovasz      ℓ = the Lovász extension of 1 − IoU               Berman et al. 2018, equation 9
    boundary    ℓ = Σ_k φ_k p_k, φ_k the signed distance to k     Kervadec et al. 2019, equation 5
    ohem        ℓ = −log p_c over the hardest pixels              Shrivastava et al. 2016

Each term is a weighted mean over the pixels, or the classes, of an image; the loss of an image is the sum of its terms,
and the loss the mean over the images in which a pixel is labelled. So it does not depend on how images make batches.
"""

import dataclasses
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from training import losses, metrics
from training.distances import signed_distance
from training.errors import TrainingError, nearest
from training.metrics.segmentation import scores
from training.metrics.surfaces import Surfaces
from training.task import Task, apply_in_training, trained
from training.tasks.segmentation import LOSSES, segmentation, values_and_weights

TERMS = (*LOSSES, "jaccard", "lovasz", "boundary", "ohem")


def compound_segmentation(
    networks: dict[str, nn.Module],
    *,
    loss: str = "cross_entropy + dice",
    class_weights: tuple[float, ...] = (),
    gamma: float = 2.0,
    alpha_fp: float = 0.5,
    beta_fn: float = 0.5,
    hard_share: float = 0.25,
    sure: float = 0.7,
    boundary_tolerance: float = 0.0,
) -> Task:
    """Trains `networks["model"]`, a module (image [B, H, W, C], train) -> logits [B, H, W, K].

    A network with auxiliary heads (`Auxiliary`: deep supervision) is trained by the sum of its own loss and of its
    heads' losses times the weight that it states.

    Args:
      loss: terms of TERMS, each with a factor or without, joined by "+".
      class_weights: of the pixels of each class, in all terms that are means over pixels; (): 1.
      gamma, alpha_fp, beta_fn: as in `segmentation`.
      hard_share: the share of an image's pixels that ohem keeps at least.
      sure: the probability of the true class up to which ohem keeps a pixel anyway.
      boundary_tolerance: pixels by which a boundary may be off in `boundary_f1`; 0: surfaces are not measured.
    """
    model, summed = networks["model"], terms(loss)
    if class_weights and len(class_weights) != model.num_classes:
        raise TrainingError(f"task.class_weights has {len(class_weights)} numbers for {model.num_classes} classes")
    by_class = np.asarray(class_weights or (1.0,) * model.num_classes)

    def loss_of(player, params, stats, batch, key, frozen, hyper):
        network = trained(networks, hyper)["model"]
        found, moved = apply_in_training(network, params["model"], stats["model"], key, batch, batch["image"])
        logits, *others = found if isinstance(found, tuple) else (found,)
        target = batch["masks"].astype(jnp.int32)
        if logits.shape[:3] != target.shape:
            raise TrainingError(
                f"the network answers for {logits.shape[1]}×{logits.shape[2]} of {target.shape[1]}×{target.shape[2]}"
                " pixels: compound_segmentation needs padded convolutions"
            )
        pixels = (target >= 0) * jnp.asarray(by_class, logits.dtype)[jnp.maximum(target, 0)]
        if "weight_map" in batch:
            pixels *= batch["weight_map"]
        values = of_images(summed, logits, target, pixels, hyper["task"])
        for other in others:
            values += network.auxiliary * of_images(summed, other, target, pixels, hyper["task"])
        counts = (target >= 0).any((1, 2)).astype(values.dtype)
        right = _mean((logits.argmax(-1) == target).astype(values.dtype), (target >= 0).astype(values.dtype))
        return (counts * values).sum(), counts.sum(), ({"model": moved}, {"pixel_accuracy": (counts * right).sum()})

    plain = segmentation(networks)
    return dataclasses.replace(
        plain,
        loss=loss_of,
        metrics={
            "scores": scores(model.num_classes),
            "cross_entropy": metrics.mean("loss", "cross_entropy", "min", "nats", weight="labelled", panel="loss"),
        },
        evaluators={"surfaces": Surfaces(boundary_tolerance)} if boundary_tolerance else {},
        numbers=(*plain.numbers, "hard_share", "sure"),
    )


def terms(loss: str) -> tuple[tuple[float, str], ...]:
    """((factor, name), ...) of a page's sum: "dice + 0.5 focal" is ((1.0, "dice"), (0.5, "focal")).

    Raises TrainingError for what is not such a sum, and for an unknown term with the nearest one.
    """
    found = []
    for part in loss.split("+"):
        match = re.fullmatch(r"\s*(?:(\d+\.?\d*|\.\d+)\s*\*?\s*)?([a-z_]+)\s*", part)
        if match is None:
            raise TrainingError(f'task.loss={loss!r}: {part.strip()!r} is not a term like "dice" or "0.5 dice"')
        if match[2] not in TERMS:
            raise TrainingError(f"task.loss={loss!r}: {match[2]!r} is unknown: {nearest(match[2], TERMS)}")
        found.append((float(match[1] or 1), match[2]))
    return tuple(found)


def of_images(summed, logits, target, pixels, numbers) -> jax.Array:
    """The sum of the terms of each image, [B].

    Args:
      summed: from `terms`.
      logits: [B, H, W, K].
      target: [B, H, W] int, −1 is ignored.
      pixels: weights [B, H, W], 0 where a pixel is ignored.
      numbers: those of the task.
    """
    return sum(factor * _mean(*of_term(name, logits, target, pixels, numbers)) for factor, name in summed)


def of_term(name: str, logits, target, pixels, numbers) -> tuple[jax.Array, jax.Array]:
    """Values and weights of a term: [B, H, W] each for means over pixels, [B, K] each for means over classes."""
    if name in LOSSES:
        return values_and_weights(name, logits, target, pixels, numbers)
    if name == "ohem":
        values = losses.softmax_cross_entropy(logits, target)
        return values, losses.hardest(values, pixels, numbers["hard_share"], numbers["sure"])
    known = target >= 0
    true = jax.nn.one_hot(target, logits.shape[-1])  # zeros for −1
    p = jax.nn.softmax(logits)
    if name == "boundary":
        distances = jax.vmap(jax.vmap(signed_distance, 2, 2))(true > 0)
        return losses.boundary(p, distances), pixels
    there = true.max((1, 2))
    if name == "lovasz":
        return losses.lovasz(p, true, known), there
    return losses.jaccard(p * known[..., None], true), there


def _mean(values, weights):
    """Σ w v / Σ w of each image: [B, ...] twice -> [B]; 0 without weight."""
    values, weights = (x.reshape(len(x), -1) for x in (values, weights))
    total = weights.sum(1)
    return (weights * values).sum(1) / jnp.where(total > 0, total, 1)
