"""Detectors on BCCD: red and white cells and platelets in 364 microscope images of 640×480, from scratch.

    cd FOLDER_OF_bccd; fovea train --config detection_bccd:ssd --workdir runs/bccd_ssd      # an hour on two cores

The folder has the form of PASCAL VOC; its own splits are used. No figure on these images is canonical. The backbone is
ResNet-18 of half the width.
"""

from experiments.pages import page

BODY = dict(name="resnet", depth=18, width=32)
THREE, FOUR = ("stage2", "stage3", "stage4"), ("stage1", "stage2", "stage3", "stage4")

# detector -> (network, task)
SIZES = {
    "ssd": (
        dict(
            name="ssd",
            backbone=BODY,
            levels=THREE,
            scales=(0.08, 0.2, 0.32, 0.6),
            ratios=((2,), (2,), (2,)),
            steps=(),
        ),
        dict(name="ssd", max_detections=100),
    ),
    "retinanet": (
        dict(
            name="retinanet",
            backbone=dict(name="fpn", backbone=BODY, levels=THREE, width=64, top="p6p7"),
            depth=2,
            sizes=(16, 32, 64, 128, 256),
        ),
        dict(name="retinanet", beta=0.11),
    ),
    "faster_rcnn": (
        dict(
            name="faster_rcnn",
            backbone=dict(name="fpn", backbone=BODY, levels=FOUR, width=64, top="pool"),
            sizes=((16,), (32,), (64,), (96,), (160,)),
            canonical=112.0,
            hidden=256,
        ),
        dict(
            name="faster_rcnn",
            regions=128,
            **dict.fromkeys(("candidates", "test_candidates"), 300),
            **dict.fromkeys(("proposals", "test_proposals"), 200),
        ),
    ),
}


def get_config(size="ssd"):
    network, task = SIZES[size]
    return page(
        paper=dict(title="BCCD", year=2018, metric="test/ap50", note="There is no canonical figure."),
        model=network,
        task=task,
        data=dict(
            name="voc:bccd",
            train="train",
            validation="val",
            test="test",
            image_size=320,
            augment=("flip", "color_jitter(0.2, 0.2, 0.2)"),
        ),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=1e-4, clip_norm=10.0),
        schedule=dict(name="cosine", peak=0.02, warmup_steps=100),
        train=dict(
            batch_size=8, steps=3000, evaluate_batch_size=8, log_every=50, evaluate_every=500, checkpoint_every=500
        ),
    )
