"""Faster R-CNN with ResNet-50-FPN on COCO. torchvision's FasterRCNN_ResNet50_FPN_Weights: 37.0 AP.

    fovea train --config faster_rcnn_coco --config.data.name=coco:COCO --workdir runs/frcnn  # not run here

COCO is a folder with annotations/, train2017/ and val2017/. torchvision starts from a ResNet-50 trained on ImageNet,
whose statistics it keeps, and trains for 26 passes over 16 images a step: SGD with momentum 0.9, weight decay 1e-4,
learning rate 0.02 divided by 10 after 16 and 22 of them, flips. Pictures are put on a square canvas of 1024 pixels.
"""

from experiments.pages import COCO, page


def get_config():
    return page(
        paper=dict(
            title="Feature Pyramid Networks for Object Detection",
            year=2017,
            table="torchvision, FasterRCNN_ResNet50_FPN_Weights.COCO_V1",
            metric="test/ap",
            published=0.370,
            tolerance=0.003,
            steps=190_000,
            parameters=41_757_156,
            note="The paper's backbone is pretrained; this page starts from scratch unless train.init_from says"
            " otherwise.",
        ),
        model=dict(
            name="faster_rcnn",
            backbone=dict(
                name="fpn",
                backbone=dict(name="resnet", depth=50),
                levels=("stage1", "stage2", "stage3", "stage4"),
                top="pool",
            ),
        ),
        task=dict(name="faster_rcnn"),
        data=dict(COCO, image_size=1024),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=1e-4),
        schedule=dict(name="step", peak=0.02, boundaries=(117_000, 161_000), factor=0.1, warmup_steps=1000),
        train=dict(batch_size=16, steps=190_000, evaluate_batch_size=16, evaluate_every=10_000, checkpoint_every=5_000),
    )
