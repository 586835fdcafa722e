"""Detectors of every kind on the same scenes of handwritten digits, with one backbone and one budget. No download.

    fovea train --config detection_scenes:ssd --workdir runs/detection_scenes_ssd      # minutes on two cores

Each size is a detector with its own loss; ResNet-18 of half the width is the backbone of all but YOLO, and the recipe
is the same, so that their rows can be compared. The published settings are those of the pages on COCO and VOC.
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
