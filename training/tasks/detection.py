"""Detection by centres: one network, objects as points (CenterNet: Zhou et al. 2019, "Objects as Points").

The network answers for cells of R × R pixels. Object k of class c with the box (x1, y1, x2, y2) has its centre at
p = ((x1 + x2)/2, (y1 + y2)/2)/R, in the cell p̃ = ⌊p⌋. The target of the heat map of class c is

    Y_xy = max_k exp(−|(x, y) − p̃|² / 2σ²),   σ = (2r + 1)/6,

over its objects, where r, in cells, is how far the corners may move before the IoU with the box is below 0.7 (Law &
Deng 2018, section 3.2). With Ŷ = sigmoid(logits), o the offset in cells and s the size in pixels, the sums over cells
and over objects are

    ℓ_heatmap = −Σ { (1 − Ŷ)^α log Ŷ                where Y = 1
                   { (1 − Y)^β Ŷ^α log(1 − Ŷ)       otherwise       equation 1
    ℓ_offset  = Σ_k |o_p̃ − (p − p̃)|                                 equation 2
    ℓ_size    = Σ_k |s_p̃ − (x2 − x1, y2 − y1)|                      equation 3
    ℓ         = ℓ_heatmap + λ_size ℓ_size + λ_offset ℓ_offset       equation 4, over the number of objects
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from training import boxes, views
from training.metrics.boxes import AveragePrecision
from training.task import Task, apply_in_training, init_network, trained

MOVED = 0.7  # the least IoU of a box whose corners have moved by r


def detection(
    networks: dict[str, nn.Module],
    *,
    alpha: float = 2.0,
    beta: float = 4.0,
    size_weight: float = 0.1,
    offset_weight: float = 1.0,
    max_detections: int = 100,
) -> Task:
    """Trains `networks["model"]`: (image [B, H, W, C], train) -> {heatmap [B, h, w, K], offset and size [B, h, w, 2]}.

    The batch has `image`, `boxes` [B, N, 4] in pixels of the image and `labels` [B, N] (−1: no object). Predictions are
    `found_boxes` [B, M, 4], `found_labels` [B, M] (−1: padding) and `found_scores` [B, M] in [0, 1], best first: the
    cells that are as hot as the hottest of their eight neighbours (section 4). The weight of an image in the loss is
    its number of objects, and 1 without objects, so that the mean over a batch without objects is finite.

    Args:
      alpha, beta: α and β.
      size_weight, offset_weight: λ_size and λ_offset.
      max_detections: M, at most the number of cells times classes.
    """
    model = networks["model"]

    def init(key, batch):
        params, stats = init_network(model, key, batch["image"][:1])
        return {"model": params}, {"model": stats}

    def loss(player, params, stats, batch, key, frozen, hyper):
        network = trained(networks, hyper)["model"]
        outputs, moved = apply_in_training(network, params["model"], stats["model"], key, batch, batch["image"])
        stride = _stride(batch["image"], outputs["heatmap"])
        numbers = hyper["task"]

        def one(outputs, found, labels):
            return object_losses(outputs, found, labels, stride, numbers["alpha"], numbers["beta"])

        sums = jax.tree.map(jnp.sum, jax.vmap(one)(outputs, batch["boxes"], batch["labels"]))
        value = sums["heatmap"] + numbers["size_weight"] * sums["size"] + numbers["offset_weight"] * sums["offset"]
        objects = present(batch["boxes"], batch["labels"]).sum(1)
        return value, jnp.maximum(objects, 1).sum().astype(value.dtype), ({"model": moved}, sums)

    def predict(params, stats, batch, key, frozen):
        outputs = model.apply({"params": params["model"], **stats["model"]}, batch["image"], train=False)
        stride = _stride(batch["image"], outputs["heatmap"])
        found, labels, scores = jax.vmap(lambda o: peaks(o, stride, max_detections))(outputs)
        found = boxes.clip(found, *batch["image"].shape[1:3])
        return {"found_boxes": found, "found_labels": labels, "found_scores": scores}

    return Task(
        players=("model",),
        needs=("boxes", "labels"),
        init=init,
        loss=loss,
        predict=predict,
        evaluators={"boxes": AveragePrecision("found_boxes", "found_labels", "found_scores")},
        numbers=("alpha", "beta", "size_weight", "offset_weight"),
        best="ap",
        outputs={"found_boxes": "boxes", "found_labels": "labels", "found_scores": "number"},
        views=(
            views.image(),
            views.boxes(title="true"),
            views.boxes("found_boxes", "found_labels", "found_scores", title="found", least=0.3),
        ),
    )


def present(found: jax.Array, labels: jax.Array) -> jax.Array:
    """Which rows of boxes [..., N, 4] and labels [..., N] are objects, and not padding: [..., N] bool."""
    return (labels >= 0) & (boxes.area(found) > 0)


def radius(size: jax.Array, least: float = MOVED) -> jax.Array:
    """How far both corners of a box may move at most, so that its IoU with where it was is `least` or more.

    Law & Deng 2018, section 3.2. The corners may move alike, both inwards or both outwards; with w and h the solutions
    of (w − r)(h − r)/(2wh − (w − r)(h − r)), (w − 2r)(h − 2r)/wh and wh/(w + 2r)(h + 2r) = least are three radii, and
    the smallest counts.

    Args:
      size: (w, h) [..., 2] ≥ 0.

    Returns: [...], in the unit of `size`.
    """
    total, product = size.sum(-1), size.prod(-1)
    alike = total - jnp.sqrt(jnp.maximum(total**2 - 4 * product * (1 - least) / (1 + least), 0))
    inwards = (total - jnp.sqrt(jnp.maximum(total**2 - 4 * product * (1 - least), 0))) / 2
    outwards = (jnp.sqrt(total**2 + 4 * product * (1 - least) / least) - total) / 2
    return jnp.minimum(jnp.minimum(alike, inwards), outwards) / 2


def heat(cells: jax.Array, sigma: jax.Array, labels: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
    """Y, [h, w, K] = `shape`, of one image.

    Args:
      cells: p̃ [N, 2], (x, y) integers.
      sigma: [N].
      labels: [N]; an object of class −1 gives no heat.
    """
    height, width, classes = shape
    along = lambda n, at: jnp.exp(-((jnp.arange(n) - at[:, None]) ** 2) / (2 * sigma[:, None] ** 2))  # [N, n]
    bumps = along(height, cells[:, 1])[:, :, None] * along(width, cells[:, 0])[:, None, :]  # [N, h, w]
    own = jnp.where(labels < 0, classes, labels)  # outside, where a scatter drops it
    return jnp.zeros((classes, height, width), bumps.dtype).at[own].max(bumps, mode="drop").transpose(1, 2, 0)


def object_losses(outputs: dict, found: jax.Array, labels: jax.Array, stride: int, alpha, beta) -> dict:
    """ℓ_heatmap, ℓ_offset and ℓ_size of one image, as sums.

    Args:
      outputs: of the network, for one image: heatmap [h, w, K], offset and size [h, w, 2].
      found: the true boxes [N, 4]; labels: [N].
    """
    logits = outputs["heatmap"].astype(jnp.promote_types(outputs["heatmap"].dtype, jnp.float32))
    there = present(found, labels)
    centres = (found[:, :2] + found[:, 2:]) / 2 / stride
    size = found[:, 2:] - found[:, :2]
    limit = jnp.array([logits.shape[1] - 1, logits.shape[0] - 1])
    cells = jnp.clip(jnp.floor(centres).astype(jnp.int32), 0, limit)
    sigma = (2 * radius(size / stride) + 1) / 6
    target = heat(cells, sigma, jnp.where(there, labels, -1), logits.shape)
    log_p, log_not = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    near = -jnp.exp(alpha * log_not) * log_p
    far = -((1 - target) ** beta) * jnp.exp(alpha * log_p) * log_not
    distance = lambda name, true: jnp.abs(outputs[name][cells[:, 1], cells[:, 0]] - true).sum(1)
    return {
        "heatmap": jnp.where(target == 1, near, far).sum(),
        "offset": jnp.where(there, distance("offset", centres - cells), 0).sum(),
        "size": jnp.where(there, distance("size", size), 0).sum(),
    }


def peaks(outputs: dict, stride: int, count: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Boxes [M, 4] in pixels, classes [M] and scores [M] of one image, best first: section 4.

    Args:
      outputs: of the network, for one image.
      count: M, at most h · w · K. Where there are fewer peaks, the last classes are −1 and their scores 0.
    """
    p = jax.nn.sigmoid(outputs["heatmap"])
    p = jnp.where(p == nn.max_pool(p, window_shape=(3, 3), strides=(1, 1), padding="SAME"), p, 0)
    scores, where = jax.lax.top_k(p.ravel(), min(count, p.size))
    y, x, labels = jnp.unravel_index(where, p.shape)
    centres = stride * (jnp.stack([x, y], 1) + outputs["offset"][y, x])
    half = jnp.maximum(outputs["size"][y, x], 0) / 2
    return jnp.concatenate([centres - half, centres + half], 1), jnp.where(scores > 0, labels, -1), scores


def _stride(image, heatmap):
    """R: pixels of the image for a cell of the heat map."""
    return image.shape[1] // heatmap.shape[1]
