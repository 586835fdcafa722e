"""YOLOv3 on COCO at 416 pixels. Redmon & Farhadi 2018, table 3 and figure 1: 55.3 AP50.

    fovea train --config yolo_v3_coco --config.data.name=coco:COCO --workdir runs/yolo_v3  # not run here

COCO is a folder with annotations/, train2017/ and val2017/. The authors start from Darknet-53 trained on ImageNet.
Their yolov3.cfg: 500,200 steps of 64 images, SGD with momentum 0.9, weight decay 5e-4, learning rate 1e-3 divided by 10
at 400,000 and 450,000, shifts of hue, saturation and exposure, sizes from 320 to 608 (here one), boxes of an IoU above
0.7 ignored.
"""

from experiments.pages import COCO, page


def get_config():
    return page(
        paper=dict(
            title="YOLOv3: An Incremental Improvement",
            year=2018,
            table="3",
            metric="test/ap50",
            published=0.553,
            tolerance=0.005,
            steps=500_200,
            parameters=61_949_149,
            macs=32_930_000_000,
            note="The paper's backbone is pretrained; this page starts from scratch unless train.init_from says"
            " otherwise.",
        ),
        model=dict(name="yolo_v3", backbone=dict(name="darknet", variant="53")),
        task=dict(name="yolo_v3", ignore=0.7),
        data=dict(COCO, image_size=416, augment=("flip", "color_jitter(0.5, 0.5, 0.5, 0.1)")),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=5e-4),
        schedule=dict(name="step", peak=1e-3, boundaries=(400_000, 450_000), factor=0.1, warmup_steps=1000),
        train=dict(
            batch_size=64, steps=500_200, evaluate_batch_size=64, evaluate_every=20_000, checkpoint_every=10_000
        ),
    )
