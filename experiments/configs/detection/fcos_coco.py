"""FCOS on COCO. Tian et al. 2019, table 3: 38.7 AP with ResNet-50 and the later improvements.

    fovea train --config fcos_coco --config.data.name=coco:COCO --workdir runs/fcos  # not run here

COCO is a folder with annotations/, train2017/ and val2017/. The paper starts from a ResNet-50 trained on ImageNet.
Section 4: 90,000 steps of 16 images, SGD with momentum 0.9, weight decay 1e-4, learning rate 0.01 divided by 10 at
60,000 and 80,000, flips. Pictures are put on a square canvas of 1024 pixels.
"""

from experiments.pages import COCO, page


def get_config():
    return page(
        paper=dict(
            title="FCOS: Fully Convolutional One-Stage Object Detection",
            year=2019,
            table="3",
            metric="test/ap",
            published=0.387,
            tolerance=0.003,
            steps=90_000,
            note="The paper's backbone is pretrained; this page starts from scratch unless train.init_from says"
            " otherwise.",
        ),
        model=dict(name="fcos", backbone=dict(name="fpn", backbone=dict(name="resnet", depth=50), top="p6p7")),
        task=dict(name="fcos", score=0.05),
        data=dict(COCO, image_size=1024),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=1e-4),
        schedule=dict(name="step", peak=0.01, boundaries=(60_000, 80_000), factor=0.1, warmup_steps=500),
        train=dict(batch_size=16, steps=90_000, evaluate_batch_size=16, evaluate_every=10_000, checkpoint_every=5_000),
    )
