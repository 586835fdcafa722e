"""Reference values of the parts of detectors, from torchvision. The suite reads detection.npz.

python -m tests.goldens.make_detection    # needs torch and torchvision
"""

import numpy as np

from tests.goldens.record import HERE

SIDE, CHANNELS, REGIONS = 13, 3, 9
EMPTY = np.zeros((0, 4))


def random_boxes(rng, count, side=100.0):
    corner = rng.uniform(0, 0.8 * side, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0.02 * side, 0.5 * side, (count, 2))], 1)


def main():
    import torch
    from torchvision import ops
    from torchvision.models.detection import _utils as parts
    from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
    from torchvision.models.detection.image_list import ImageList

    rng, stored = np.random.default_rng(0), {}
    tensor = lambda x: torch.from_numpy(np.asarray(x, np.float64))

    a, b = random_boxes(rng, 12), random_boxes(rng, 12)
    b[:6] = a[:6] + rng.normal(0, 4, (6, 4))  # near ones
    stored |= dict(a=a, b=b)
    losses = dict(giou=ops.generalized_box_iou_loss, diou=ops.distance_box_iou_loss, ciou=ops.complete_box_iou_loss)
    for name, loss in losses.items():
        moving = tensor(a).requires_grad_()
        values = loss(moving, tensor(b))
        values.sum().backward()
        stored |= {name: values.detach().numpy(), f"{name}_gradient": moving.grad.numpy()}

    for name, weights in {"plain": (1.0, 1.0, 1.0, 1.0), "weighted": (10.0, 10.0, 5.0, 5.0)}.items():
        coder = parts.BoxCoder(weights)
        codes = rng.normal(0, 2, (12, 4))
        stored |= {
            f"encoded_{name}": coder.encode_single(tensor(b), tensor(a)).numpy(),
            f"codes_{name}": codes,
            f"decoded_{name}": coder.decode_single(tensor(codes), tensor(a)).numpy(),
        }
    squares = np.concatenate([a[:, :2], a[:, :2] + 16], 1)
    linear = parts.BoxLinearCoder(normalize_by_size=True)
    stored |= dict(
        squares=squares,
        distances=linear.encode(tensor(squares), tensor(b)).numpy(),
        of_distances=linear.decode(tensor(codes), tensor(squares)).numpy(),
    )

    truth, anchors = random_boxes(rng, 4), random_boxes(rng, 200)
    anchors[:30] = np.tile(truth, (8, 1))[:30] + rng.normal(0, 5, (30, 4))
    overlaps = ops.box_iou(tensor(truth), tensor(anchors))
    stored |= dict(
        truth=truth,
        anchors=anchors,
        iou=overlaps.numpy(),
        match=parts.Matcher(0.7, 0.3, False)(overlaps).numpy(),
        match_low=parts.Matcher(0.7, 0.3, True)(overlaps).numpy(),
        match_ssd=parts.SSDMatcher(0.5)(overlaps).numpy(),
    )

    scores = rng.uniform(size=200).round(2)
    labels = rng.integers(0, 3, 200)
    keep = ops.batched_nms(tensor(anchors), tensor(scores), torch.from_numpy(labels), 0.4)
    stored |= dict(scores=scores, labels=labels, kept=keep.numpy())

    logits, targets = rng.normal(0, 3, 50), rng.integers(0, 2, 50).astype(float)
    stored |= dict(
        logits=logits, targets=targets, focal=ops.sigmoid_focal_loss(tensor(logits), tensor(targets)).numpy()
    )

    x = rng.normal(size=(1, CHANNELS, SIDE, SIDE))
    regions = random_boxes(rng, REGIONS, 4 * SIDE)
    regions[0] = (-20, -10, 70, 80)  # beyond the map on all sides
    regions[1] = (10, 10, 10.5, 10.2)  # less than a pixel of the map
    regions[2] = (200, 200, 220, 230)  # outside
    towards = rng.normal(size=(REGIONS, CHANNELS, 3, 3))
    stored |= dict(map=x, regions=regions, towards=towards)
    pools = {
        "align": lambda x: ops.roi_align(x, [tensor(regions)], 3, 0.25, 2, False),
        "aligned": lambda x: ops.roi_align(x, [tensor(regions)], 3, 0.25, 2, True),
        "pool": lambda x: ops.roi_pool(x, [tensor(regions)], 3, 0.25),
    }
    for name, pool in pools.items():
        image = tensor(x).requires_grad_()
        pooled = pool(image)
        (pooled * tensor(towards)).sum().backward()
        stored |= {name: pooled.detach().numpy(), f"{name}_gradient": image.grad.numpy()}

    images = ImageList(torch.zeros(1, 3, 96, 64), [(96, 64)])
    maps = [torch.zeros(1, 1, 12, 8), torch.zeros(1, 1, 6, 4)]
    retina = AnchorGenerator(((32, 40, 50), (64, 80, 101)), ((0.5, 1.0, 2.0),) * 2)
    stored["retina_anchors"] = retina(images, maps)[0].numpy()
    ssd = DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
        steps=[8, 16, 32, 64, 100, 300],
    )
    images = ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)])
    stored["ssd_anchors"] = ssd(images, [torch.zeros(1, 1, n, n) for n in (38, 19, 10, 5, 3, 1)])[0].numpy()
    np.savez_compressed(HERE / "detection.npz", **stored)


if __name__ == "__main__":
    main()
