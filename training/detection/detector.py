"""The task of a network that answers for a whole image at once: what RetinaNet, FCOS, SSD, YOLO and DETR share."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import views
from training.metrics.boxes import AveragePrecision
from training.task import Task, apply_in_training, example_keys, init_network, stream, trained
from training.tasks.detection import present

SHARED = ("anchors", "strides")  # outputs of a network without a batch axis: they are the same for all images

# What detectors answer, as `Task.outputs`, and how it is shown and judged.
OUTPUTS = {"found_boxes": "boxes", "found_labels": "labels", "found_scores": "number"}
EVALUATORS = {"boxes": AveragePrecision(*OUTPUTS)}
VIEWS = (views.image(), views.boxes(title="true"), views.boxes(*OUTPUTS, title="found", least=0.3))


class Truth(NamedTuple):
    """The objects of one image, or with a leading axis those of a batch.

    boxes: [N, 4] in pixels; labels: [N], classes; there: [N] bool, which rows are objects and not padding.
    """

    boxes: jax.Array
    labels: jax.Array
    there: jax.Array


def truth_of(batch: Mapping[str, jax.Array]) -> Truth:
    """The objects of a batch. Boxes that are padding are 0, whatever the batch has there."""
    there = present(batch["boxes"], batch["labels"])
    return Truth(jnp.where(there[..., None], batch["boxes"], 0), jnp.where(there, batch["labels"], 0), there)


def detector(
    networks: Mapping[str, nn.Module],
    loss_of_one: Callable,
    found_of_one: Callable,
    numbers: tuple[str, ...] = (),
) -> Task:
    """Trains `networks["model"]`: (image [B, H, W, C], train) -> a dictionary of arrays, each [B, ...] or SHARED.

    The batch has `image`, `boxes` [B, N, 4] in pixels of the image and `labels` [B, N] (−1: no object). Predictions are
    `found_boxes` [B, M, 4], clipped to the image, `found_labels` [B, M] (−1: padding) and `found_scores` [B, M] in
    [0, 1], best first.

    Args:
      loss_of_one: (outputs of one image, Truth, (H, W), numbers, key) -> (terms, weight): the loss of the image is the
        sum of the dictionary `terms`, and a batch is the sum over its images divided by that of the weights.
      found_of_one: (outputs of one image, (H, W)) -> (boxes [M, 4], labels [M], scores [M]).
      numbers: see Task.
    """
    model = networks["model"]

    def over_images(function, outputs, *arguments):
        axes = {name: None if name in SHARED else 0 for name in outputs}
        return jax.vmap(function, (axes, *[0] * len(arguments)))(outputs, *arguments)

    def init(key, batch):
        params, stats = init_network(model, key, batch["image"][:1])
        return {"model": params}, {"model": stats}

    def loss(player, params, stats, batch, key, frozen, hyper):
        network = trained(networks, hyper)["model"]
        outputs, moved = apply_in_training(network, params["model"], stats["model"], key, batch, batch["image"])
        size = batch["image"].shape[1:3]

        def one(outputs, truth, key):
            return loss_of_one(outputs, truth, size, hyper["task"], key)

        keys = example_keys(stream(key, "sample"), batch)
        terms, weights = over_images(one, outputs, truth_of(batch), keys)
        sums: dict[str, Any] = jax.tree.map(jnp.sum, terms)
        value = sum(sums.values())
        return value, weights.sum().astype(value.dtype), ({"model": moved}, sums)

    def predict(params, stats, batch, key, frozen):
        outputs = model.apply({"params": params["model"], **stats["model"]}, batch["image"], train=False)
        size = batch["image"].shape[1:3]
        found = over_images(lambda outputs: found_of_one(outputs, size), outputs)
        return dict(zip(OUTPUTS, found, strict=True))

    return Task(
        players=("model",),
        needs=("boxes", "labels"),
        init=init,
        loss=loss,
        predict=predict,
        evaluators=EVALUATORS,
        numbers=numbers,
        best="ap",
        outputs=OUTPUTS,
        views=VIEWS,
    )
