"""Detection in two stages (Faster R-CNN: Ren et al. 2015; Mask R-CNN: He et al. 2017).

First, anchors. One whose IoU with an object is 0.7 or more, or that is an object's best, shall propose it, one below
0.3 nothing. Of `anchors` that are drawn, at most half of them positive, with o the probability of an object and t the
codes of the box,

    ℓ_objectness = mean cross-entropy of o         ℓ_proposal = Σ_positive smooth-L1(t − t*) / drawn      equation 1

The surest of each map, after suppression, are proposals; in training, the objects are added to them. Of `regions` that
are drawn, at most a quarter with an IoU of 0.5 or more with an object, with p the probabilities of the classes and of
nothing, u the codes of the box of the true class, and m the logits of its mask,

    ℓ_class = mean cross-entropy of p      ℓ_box = Σ_positive smooth-L1(u − u*) / drawn
    ℓ_mask  = mean over positive regions and cells of the cross-entropy of m, against the object's mask in the region

Each is a mean over what is drawn in one image, and the loss of a batch that over its images. smooth-L1 has β = 1/9. The
gradient does not go through the corners of proposals. Masks are trained and not answered.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import boxes
from training.detection import coders, losses, matchers, samplers
from training.detection.detector import EVALUATORS, OUTPUTS, VIEWS, Truth, truth_of
from training.detection.suppression import answer, answer_by_class, surest
from training.errors import TrainingError
from training.losses import sigmoid_cross_entropy, softmax_cross_entropy
from training.task import Task, apply_in_training, example_keys, init_network, stream, trained

POSITIVE, NEGATIVE = 0.7, 0.3  # of anchors
FRACTION = 0.25  # of the regions that are drawn, that have an object
SAME = 0.5  # the least IoU of a region and its object
BETA = 1 / 9
WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of the codes of regions
THIN = 1e-3  # pixels: a proposal that is thinner is none


@runtime_checkable
class TwoStage(Protocol):
    """A detector in two stages. Its methods are described in models/detection/faster_rcnn.py.

    Attributes:
      masks: whether it has the head that `mask` asks.
    """

    masks: bool

    def propose(self, x, train: bool) -> dict[str, Any]: ...

    def classify(self, maps, regions, size: tuple[int, int]) -> tuple[jax.Array, jax.Array]: ...

    def mask(self, maps, regions, size: tuple[int, int]) -> jax.Array: ...

    def cut(self, instances, regions, objects) -> jax.Array: ...


class Drawn(NamedTuple):
    """Regions of one image that were drawn, those with an object first.

    boxes: [R, 4]; match: [R], their objects; labels: [R], 0 for nothing, 1 + class, −1 for what fills up.
    """

    boxes: jax.Array
    match: jax.Array
    labels: jax.Array


def faster_rcnn(
    networks: dict[str, nn.Module],
    *,
    masks: bool = False,
    anchors: int = 256,
    regions: int = 512,
    candidates: int = 2000,
    proposals: int = 2000,
    test_candidates: int = 1000,
    test_proposals: int = 1000,
    proposal_overlap: float = 0.7,
    score: float = 0.05,
    overlap: float = 0.5,
    max_detections: int = 100,
    box_weight: float = 1.0,
) -> Task:
    """Trains `networks["model"]`, with the methods of models/detection/faster_rcnn.py.

    See training/detection/detector.py for the batch and the predictions. With `masks` the batch also has `instances`
    [B, H, W], 1 + i on the pixels of object i.

    Args:
      masks: ℓ_mask is part of the loss; the network must have a head for masks, and must not have one without it.
      anchors, regions: how many are drawn in each image.
      candidates, proposals: of each map before suppression, and of all after it, in training; in use test_candidates
        and test_proposals.
      proposal_overlap: the IoU above which a proposal gives way to a surer one of its map.
      score: the least score of an answer.
      overlap: the IoU above which a box gives way to a surer one of its class.
      max_detections: M.
      box_weight: of ℓ_proposal and ℓ_box.

    Raises TrainingError for a network that is not TwoStage, or whose `masks` differ.
    """
    model = networks["model"]
    if not isinstance(model, TwoStage):
        raise TrainingError(f"task.name=faster_rcnn trains a network in two stages, not {type(model).__name__}")
    if masks != model.masks:
        raise TrainingError(f"task.masks={masks} and model.masks={model.masks}: set both alike")

    def init(key, batch):
        params, stats = init_network(model, key, batch["image"][:1])
        return {"model": params}, {"model": stats}

    def loss(player, params, stats, batch, key, frozen, hyper):
        network, size = trained(networks, hyper)["model"], batch["image"].shape[1:3]
        variables = {"params": params["model"], **stats["model"]}
        apply = partial(apply_in_training, network, params["model"], stats["model"], key, batch)
        outputs, moved = apply(batch["image"], method="propose")
        maps, truth = outputs.pop("maps"), truth_of(batch)
        keys = example_keys(stream(key, "sample"), batch)

        def first(outputs, truth, key):
            of_anchors = proposal_losses(outputs, truth, key, anchors)
            found = propose(jax.lax.stop_gradient(outputs), size, candidates, proposals, proposal_overlap)
            return of_anchors, draw(found, truth, jax.random.fold_in(key, 1), regions)

        axes = {name: None if name == "anchors" else 0 for name in outputs}
        terms, drawn = jax.vmap(first, (axes, 0, 0))(outputs, truth, keys)
        logits, codes = network.apply(variables, maps, drawn.boxes, size, method="classify")
        terms = terms | jax.vmap(region_losses)(logits, codes, drawn, truth)
        if masks:
            few = jax.tree.map(lambda x: x[:, : int(FRACTION * regions)], drawn)  # all that are positive
            outlines = network.apply(variables, maps, few.boxes, size, method="mask")
            targets = network.apply(variables, batch["instances"], few.boxes, few.match, method="cut")
            terms["mask"] = jax.vmap(mask_loss)(outlines, targets, few)
        weights = {"proposal": hyper["task"]["box_weight"], "box": hyper["task"]["box_weight"]}
        sums = {name: weights.get(name, 1) * values.sum() for name, values in terms.items()}
        value = sum(sums.values())
        return value, jnp.asarray(len(batch["image"]), value.dtype), ({"model": moved}, sums)

    def predict(params, stats, batch, key, frozen):
        apply, size = partial(model.apply, {"params": params["model"], **stats["model"]}), batch["image"].shape[1:3]
        outputs = apply(batch["image"], train=False, method="propose")
        maps = outputs.pop("maps")
        first = lambda outputs: propose(outputs, size, test_candidates, test_proposals, proposal_overlap)
        found, there = jax.vmap(first, ({name: None if name == "anchors" else 0 for name in outputs},))(outputs)
        logits, codes = apply(maps, found, size, method="classify")
        last = partial(found_of_one, size=size, score=score, overlap=overlap, count=max_detections)
        return dict(zip(OUTPUTS, jax.vmap(last)(logits, codes, found, there), strict=True))

    return Task(
        players=("model",),
        needs=("boxes", "labels", "instances") if masks else ("boxes", "labels"),
        init=init,
        loss=loss,
        predict=predict,
        evaluators=EVALUATORS,
        numbers=("box_weight",),
        best="ap",
        outputs=OUTPUTS,
        views=VIEWS,
    )


def proposal_losses(outputs: Mapping, truth: Truth, key, count: int) -> dict[str, jax.Array]:
    """ℓ_objectness and ℓ_proposal of one image."""
    objectness, codes, anchors = (jnp.concatenate(outputs[name]) for name in ("objectness", "codes", "anchors"))
    overlaps = boxes.iou(truth.boxes[:, None], anchors)
    match = matchers.by_overlap(overlaps, truth.there, POSITIVE, NEGATIVE, low_quality=True)
    labels = jnp.where(match >= 0, 1, jnp.where(match == matchers.BETWEEN, -1, 0))
    positive, negative = samplers.balanced(labels, key, count, 0.5)
    drawn = jnp.maximum((positive | negative).sum(), 1)
    away = losses.smooth_l1(codes - coders.encode(truth.boxes[match], anchors), BETA).sum(1)
    unsure = sigmoid_cross_entropy(objectness, positive.astype(objectness.dtype))
    return {
        "objectness": jnp.where(positive | negative, unsure, 0).sum() / drawn,
        "proposal": jnp.where(positive, away, 0).sum() / drawn,
    }


def propose(outputs: Mapping, size: tuple[int, int], candidates: int, count: int, overlap: float):
    """(boxes [count, 4], which are there [count]) of one image, surest first."""
    found = []
    for level, (objectness, codes, anchors) in enumerate(
        zip(*(outputs[name] for name in ("objectness", "codes", "anchors")), strict=True)
    ):
        scores, places = surest(objectness[:, None], -jnp.inf, candidates)
        corners = boxes.clip(coders.decode(codes[places], anchors[places]), *size)
        thick = (corners[:, 2:] - corners[:, :2] >= THIN).all(1)
        scores = jnp.where(thick, jax.nn.sigmoid(scores), -jnp.inf)
        found.append((corners, jnp.full(len(scores), level), scores))
    corners, levels, _ = answer(*(jnp.concatenate(each) for each in zip(*found, strict=True)), overlap, count)
    return corners, levels >= 0


def draw(found: tuple[jax.Array, jax.Array], truth: Truth, key, count: int) -> Drawn:
    """`count` of the proposals and objects of one image: a quarter with an object at most, these first."""
    corners, there = (jnp.concatenate(each) for each in zip(found, (truth.boxes, truth.there), strict=True))
    match = matchers.by_overlap(boxes.iou(truth.boxes[:, None], corners), truth.there, SAME, SAME, low_quality=False)
    labels = jnp.where(there, jnp.where(match >= 0, 1 + truth.labels[match], 0), -1)
    positive, negative = samplers.balanced(labels, key, count, FRACTION)
    order = jnp.argsort(jnp.where(positive, 0, jnp.where(negative, 1, 2)), stable=True)[:count]
    if len(order) < count:
        order = jnp.pad(order, (0, count - len(order)), constant_values=len(labels))  # beyond: fills up
    take = lambda x, fill: x.at[order].get(mode="fill", fill_value=fill)
    labels = take(jnp.where(positive | negative, labels, -1), -1)
    return Drawn(take(corners, 0), jnp.maximum(take(match, 0), 0), labels)


def region_losses(logits: jax.Array, codes: jax.Array, drawn: Drawn, truth: Truth) -> dict[str, jax.Array]:
    """ℓ_class and ℓ_box of one image. logits [R, 1 + K], codes [R, 1 + K, 4]."""
    count = jnp.maximum((drawn.labels >= 0).sum(), 1)
    own = jnp.take_along_axis(codes, jnp.maximum(drawn.labels, 0)[:, None, None], 1)[:, 0]
    positive = drawn.labels > 0
    # What fills up has no sides.
    regions = jnp.where(positive[:, None], drawn.boxes, jnp.array([0.0, 0.0, 1.0, 1.0], drawn.boxes.dtype))
    target = coders.encode(truth.boxes[drawn.match], regions, WEIGHTS)
    return {
        "class": jnp.where(drawn.labels >= 0, softmax_cross_entropy(logits, drawn.labels), 0).sum() / count,
        "box": jnp.where(positive, losses.smooth_l1(own - target, BETA).sum(1), 0).sum() / count,
    }


def mask_loss(logits: jax.Array, targets: jax.Array, drawn: Drawn) -> jax.Array:
    """ℓ_mask of one image. logits: [R, P, P, 1 + K]; targets: [R, P, P], what the object covers of each cell."""
    positive = drawn.labels > 0
    own = jnp.take_along_axis(logits, jnp.maximum(drawn.labels, 0)[:, None, None, None], -1)[..., 0]
    values = sigmoid_cross_entropy(own, targets).mean((1, 2))
    return jnp.where(positive, values, 0).sum() / jnp.maximum(positive.sum(), 1)


def found_of_one(logits, codes, regions, there, *, size, score, overlap, count):
    """(boxes [count, 4], labels, scores) of one image: each region has a box for every class."""
    found = boxes.clip(coders.decode(codes[:, 1:], regions[:, None], WEIGHTS), *size)
    thick = (found[..., 2:] - found[..., :2] >= 10 * THIN).all(-1)
    p = jnp.where(thick & there[:, None], jax.nn.softmax(logits)[:, 1:], 0)
    return answer_by_class(found, p, score, len(p), overlap, count)
