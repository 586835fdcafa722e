"""Detectors of every kind on the same scenes of handwritten digits, with one budget. No download.

    fovea train --config detection_scenes:ssd --workdir runs/detection_scenes_ssd      # minutes on two cores

Each size is a detector with its own loss and optimizer, from scratch, for the same number of images. ResNet-18 of half
the width is the backbone, but for YOLO, which has its own, and DETR, whose ResNet-18 has a quarter. `centernet_scenes`
is CenterNet on these scenes, and the pages `*_coco` have the published settings.
"""

from experiments.pages import page

BODY = dict(name="resnet", depth=18, width=32)
THREE, FOUR = ("stage2", "stage3", "stage4"), ("stage1", "stage2", "stage3", "stage4")
SGD = dict(name="sgd", momentum=0.9, weight_decay=1e-4, clip_norm=10.0)

# detector -> (network, task, optimizer, peak of the learning rate)
SIZES = {
    "retinanet": (
        dict(
            name="retinanet",
            backbone=dict(name="fpn", backbone=BODY, levels=THREE, width=64, top="p6p7"),
            sizes=(16, 24, 32, 48, 64),
            depth=2,
        ),
        dict(name="retinanet", beta=0.11),
        *(SGD, 0.02),
    ),
    "fcos": (
        dict(
            name="fcos",
            backbone=dict(name="fpn", backbone=BODY, levels=THREE, width=64, top="p6p7"),
            depth=2,
            groups=8,
        ),
        dict(name="fcos", score=0.05),
        *(SGD, 0.02),
    ),
    "ssd": (
        dict(
            name="ssd",
            backbone=BODY,
            levels=THREE,
            scales=(0.3, 0.4, 0.5, 0.65),
            ratios=((2,), (2,), (2,)),
            steps=(),
        ),
        dict(name="ssd"),
        *(SGD, 0.02),
    ),
    "yolo": (
        dict(
            name="yolo_v3",
            backbone=dict(name="darknet", width=16, depths=(1, 1, 2, 2, 1)),
            width=128,
            sets=(1, 1, 1),
            anchors=(((8, 16), (12, 22), (16, 20)), ((16, 28), (18, 34), (22, 26)), ((24, 30), (28, 38), (32, 34))),
        ),
        dict(name="yolo_v3"),
        *(SGD, 0.005),
    ),
    "faster_rcnn": (
        dict(
            name="faster_rcnn",
            backbone=dict(name="fpn", backbone=BODY, levels=FOUR, width=64, top="pool"),
            sizes=((12,), (20,), (28,), (36,), (48,)),
            canonical=56.0,
            hidden=128,
        ),
        dict(
            name="faster_rcnn",
            anchors=128,
            regions=32,
            **dict.fromkeys(("candidates", "test_candidates"), 100),
            **dict.fromkeys(("proposals", "test_proposals"), 50),
        ),
        *(SGD, 0.02),
    ),
    "detr": (
        dict(
            name="detr",
            backbone=dict(BODY, stem="cifar", width=16),
            queries=10,
            width=64,
            heads=4,
            hidden=128,
            encoder=2,
            decoder=3,
            dropout_rate=0.1,
        ),
        dict(name="detr", max_detections=10),
        *(dict(name="adamw", weight_decay=1e-4, clip_norm=0.1), 5e-4),
    ),
}


def get_config(size="retinanet"):
    network, task, optimizer, peak = SIZES[size]
    return page(
        paper=dict(title="Detectors on one budget", year=2026, metric="test/ap", note="No paper has such data."),
        model=network,
        task=task,
        data=dict(name="scenes", train="train", validation="validation", test="test"),
        optimizer=optimizer,
        schedule=dict(name="cosine", peak=peak, warmup_steps=100),
        train=dict(batch_size=16, steps=1500, seed=0, log_every=50, evaluate_every=500, checkpoint_every=500),
    )
