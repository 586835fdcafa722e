"""Detectors of every kind on the same scenes of handwritten digits, with one backbone and one budget. No download.

    fovea train --config detection_scenes:ssd --workdir runs/detection_scenes_ssd      # minutes on two cores

Each size is a detector with its own loss, and the recipe is the same, so that their rows can be compared. The backbone
is ResNet-18 of half the width, except for YOLO, which has its own, and DETR, which reads one map of stride 4.
"""

from experiments.pages import page

BODY = dict(name="resnet", depth=18, width=32)


PYRAMID = dict(name="fpn", backbone=BODY, levels=("stage1", "stage2", "stage3", "stage4"), width=64)


# detector -> (network, task)
SIZES = {
    "retinanet": (
        dict(name="retinanet", backbone=PYRAMID, sizes=(16, 20, 24, 32), depth=2),
        dict(name="retinanet"),
    ),
    "fcos": (
        dict(name="fcos", backbone=PYRAMID, sizes=(4, 8, 16, 32), depth=2, groups=8),
        dict(name="fcos", score=0.05),
    ),
    "ssd": (
        dict(
            name="ssd",
            backbone=BODY,
            levels=("stage2", "stage3", "stage4"),
            scales=(0.3, 0.4, 0.5, 0.65),
            ratios=((2,), (2,), (2,)),
            steps=(),
        ),
        dict(name="ssd"),
    ),
    "centernet": (
        dict(name="centernet", backbone=PYRAMID, level="p2"),
        dict(name="detection"),
    ),
    "yolo": (
        dict(
            name="yolo_v3",
            backbone=dict(name="darknet", width=16, depths=(1, 1, 2, 2, 1)),
            width=128,
            sets=(1, 1, 1),
            anchors=(((8, 16), (12, 22)), ((16, 28), (18, 34)), ((24, 30), (28, 38))),
        ),
        dict(name="yolo_v3"),
    ),
    "mask_rcnn": (
        dict(
            name="mask_rcnn",
            backbone=dict(**PYRAMID, top="pool"),
            sizes=((12,), (20,), (28,), (36,), (48,)),
            canonical=56.0,
            hidden=128,
            mask_width=32,
        ),
        dict(
            name="faster_rcnn",
            masks=True,
            anchors=128,
            regions=32,
            **dict.fromkeys(("candidates", "test_candidates"), 100),
            **dict.fromkeys(("proposals", "test_proposals"), 50),
        ),
    ),
    "detr": (
        dict(
            name="detr",
            backbone=dict(name="resnet_cifar", depth=8),
            level="stage3",
            queries=10,
            width=64,
            heads=4,
            hidden=128,
            encoder=2,
            decoder=3,
            dropout_rate=0.0,
        ),
        dict(name="detr", max_detections=10),
    ),
}


def get_config(size="retinanet"):
    network, task = SIZES[size]
    return page(
        paper=dict(title="Detectors on one budget", year=2026, metric="test/ap", note="No paper has such data."),
        model=network,
        task=task,
        data=dict(name="scenes", train="train", validation="validation", test="test"),
        optimizer=dict(name="adam"),
        schedule=dict(name="cosine", peak=1e-3, warmup_steps=100),
        train=dict(batch_size=16, steps=1500, seed=0, log_every=50, evaluate_every=500, checkpoint_every=500),
    )
