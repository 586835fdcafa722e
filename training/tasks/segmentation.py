"""Semantic segmentation: one network, one class per pixel; −1 in `batch["masks"]` is ignored.

With p = softmax(logits) and the class c of a pixel of weight w, the losses are

    cross_entropy   ℓ = −log p_c                                  Ronneberger et al. 2015, equation 1
    focal           ℓ = −(1 − p_c)^γ log p_c                      Lin et al. 2017, equation 4
    dice            ℓ = 1 − 2TP/(2TP + FP + FN)                   Milletari et al. 2016, without their squares
    tversky         ℓ = 1 − TP/(TP + α FP + β FN)                 Salehi et al. 2017, equation 4

The first two are means over pixels, weighted by w. The others count softly within an image, TP = Σ p_k [c = k] and so
on, and are means over the pairs of an image and a class that is there.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from models.interfaces import Cropping
from training import losses, metrics, views
from training.errors import TrainingError, check
from training.metrics.segmentation import overlap
from training.task import Task, apply_in_training, init_network, trained

LOSSES = ("cross_entropy", "focal", "dice", "tversky")


def segmentation(
    networks: dict[str, nn.Module],
    *,
    loss: str = "cross_entropy",
    gamma: float = 2.0,
    alpha_fp: float = 0.5,
    beta_fn: float = 0.5,
) -> Task:
    """Trains `networks["model"]`, a module (image [B, H, W, C], train) -> logits [B, h, w, K].

    The batch has `image` and `masks` [B, H, W] (classes, or −1) and may have `weight_map` [B, H, W] ≥ 0. The output of
    a network of valid convolutions is smaller than its input, (h, w) < (H, W): it is trained on the centre of the
    masks, and its method `sides` gives the sides of input and output. Predictions have the size of the image, whose
    border is mirrored for them (Ronneberger et al. 2015, figure 2): `prediction` and its `probability` [B, H, W]; where
    there are masks also `loss` [B], the cross-entropy per labelled pixel, and `labelled` [B], the share of such pixels.

    Args:
      loss: one of LOSSES. `weight_map` weighs the pixels of the first two; dice and tversky ignore it.
      gamma: γ of focal.
      alpha_fp, beta_fn: α, the cost of a false positive, and β, of a false negative, in tversky.
    """
    model = networks["model"]
    sides = model.sides if isinstance(model, Cropping) else lambda output: (output, output)
    check(LOSSES, "task.loss", loss)

    def init(key, batch):
        params, stats = init_network(model, key, _mirror(batch["image"][:1], sides))
        return {"model": params}, {"model": stats}

    def loss_of(player, params, stats, batch, key, frozen, hyper):
        _check_fit(batch["image"].shape[1:3], sides)
        network = trained(networks, hyper)["model"]
        logits, moved = apply_in_training(network, params["model"], stats["model"], key, batch, batch["image"])
        target = _centre(batch["masks"], logits).astype(jnp.int32)
        pixels = (target >= 0).astype(logits.dtype)
        if "weight_map" in batch:
            pixels *= _centre(batch["weight_map"], logits)
        values, weights = values_and_weights(loss, logits, target, pixels, hyper["task"])
        # The mean over pixels of an image, weighted as its loss is.
        right = losses.per_example(pixels * (logits.argmax(-1) == target)) / _positive(losses.per_example(pixels))
        weight_of_image = weights.reshape(len(weights), -1).sum(1)
        sums = {"pixel_accuracy": (weight_of_image * right).sum()}
        return (weights * values).sum(), weights.sum(), ({"model": moved}, sums)

    def predict(params, stats, batch, key, frozen):
        height, width = batch["image"].shape[1:3]
        variables = {"params": params["model"], **stats["model"]}
        logits = model.apply(variables, _mirror(batch["image"], sides), train=False)[:, :height, :width]
        outputs = {"prediction": logits.argmax(-1), "probability": jax.nn.softmax(logits).max(-1)}
        if "masks" in batch:
            valid = batch["masks"] >= 0
            values = valid * losses.softmax_cross_entropy(logits, batch["masks"].astype(jnp.int32))
            outputs["labelled"] = losses.per_example(valid.astype(values.dtype))
            outputs["loss"] = losses.per_example(values) / _positive(outputs["labelled"])
        return outputs

    return Task(
        players=("model",),
        needs=("masks",),
        init=init,
        loss=loss_of,
        predict=predict,
        metrics={
            "overlap": overlap(model.num_classes),
            "cross_entropy": metrics.mean("loss", "cross_entropy", "min", "nats", weight="labelled", panel="loss"),
        },
        numbers=("gamma", "alpha_fp", "beta_fn"),
        best="mean_iou",
        views=(
            views.image(),
            views.mask("masks", title="true"),
            views.mask("prediction", title="predicted"),
            views.shares("prediction", title="classes"),
        ),
        tiled=True,
        outputs={"prediction": "mask"},
    )


def values_and_weights(loss: str, logits, target, pixels, numbers) -> tuple[jax.Array, jax.Array]:
    """Values and weights of a loss: [B, h, w] each for losses of pixels, [B, K] each for losses of regions.

    Args:
      loss: one of LOSSES.
      logits: [B, h, w, K].
      target: [B, h, w] int, −1 is ignored.
      pixels: weights [B, h, w], 0 where a pixel is ignored.
      numbers: gamma, alpha_fp and beta_fn.
    """
    if loss == "cross_entropy":
        return losses.softmax_cross_entropy(logits, target), pixels
    if loss == "focal":
        return losses.softmax_focal(logits, jnp.maximum(target, 0), numbers["gamma"]), pixels
    costs = (0.5, 0.5) if loss == "dice" else (numbers["alpha_fp"], numbers["beta_fn"])
    true = jax.nn.one_hot(target, logits.shape[-1])  # zeros for −1
    p = jax.nn.softmax(logits) * (target >= 0)[..., None]
    return losses.tversky(p, true, *costs), true.max((1, 2))


def _mirror(image, sides):
    """`image` [B, H, W, C] with mirrored borders, so that the top left of the output is that of the image."""
    widths = [(0, 0)] * image.ndim
    for axis in (1, 2):
        into, out = sides(image.shape[axis])
        before = (into - out) // 2
        widths[axis] = (before, into - image.shape[axis] - before)
    return jnp.pad(image, widths, "reflect")


def _centre(field, logits):
    """The centre [B, h, w] of a field [B, H, W], which `logits` [B, h, w, K] answer."""
    (height, width), (h, w) = field.shape[1:], logits.shape[1:3]
    top, left = (height - h) // 2, (width - w) // 2
    return field[:, top : top + h, left : left + w]


def _check_fit(shape, sides):
    """Raises TrainingError unless a network of valid convolutions halves images of this size without a remainder."""
    for side in shape:
        output = max((n for n in range(1, side + 1) if sides(n)[0] <= side), default=0)
        if not output or sides(output)[0] != side:
            fitting = dict.fromkeys(sides(n)[0] for n in (output or 1, output + 1))
            raise TrainingError(
                f"images of {shape[0]}×{shape[1]} do not fit this network of valid convolutions: crop them to"
                f" {' or '.join(map(str, fitting))}"
            )


def _positive(x):
    return jnp.maximum(x, jnp.finfo(x.dtype).tiny)
