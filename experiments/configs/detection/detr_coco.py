"""DETR with ResNet-50 on COCO. Carion et al. 2020, table 1: 42.0 AP after 500 epochs.

    fovea train --config detr_coco --config.data.name=coco:COCO --workdir runs/detr  # not run here

COCO is a folder with annotations/, train2017/ and val2017/. The paper starts from a ResNet-50 trained on ImageNet,
whose statistics it keeps and whose learning rate is a tenth. Section A.4: 500 passes over 64 images a step, AdamW with
weight decay 1e-4, learning rate 1e-4 divided by 10 after 400 of them, gradients cut to a norm of 0.1, flips and scale
jitter (here flips alone). Pictures are put on a square canvas of 1024 pixels.
"""

from experiments.pages import COCO, page


def get_config():
    return page(
        paper=dict(
            title="End-to-End Object Detection with Transformers",
            year=2020,
            table="1",
            metric="test/ap",
            published=0.420,
            tolerance=0.003,
            steps=924_000,
            note="The paper's backbone is pretrained; this page starts from scratch unless train.init_from says"
            " otherwise.",
        ),
        model=dict(name="detr", backbone=dict(name="resnet", depth=50)),
        task=dict(name="detr"),
        data=dict(COCO, image_size=1024),
        optimizer=dict(name="adamw", weight_decay=1e-4, clip_norm=0.1),
        schedule=dict(name="step", peak=1e-4, boundaries=(739_000,), factor=0.1),
        train=dict(
            batch_size=64, steps=924_000, evaluate_batch_size=64, evaluate_every=20_000, checkpoint_every=10_000
        ),
    )
