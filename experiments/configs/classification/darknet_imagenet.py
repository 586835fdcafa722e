"""Darknet-19 on ImageNet. Redmon & Farhadi 2017, section 3: 27.1 % test error at 224×224.

    fovea train --config darknet_imagenet --workdir runs/darknet      # for accelerators; not run here

    fovea train --config darknet_imagenet --config.model.variant=53 --config.data.image_size=256 --workdir runs/53

Section 3: 160 passes, SGD with momentum 0.9, learning rate 0.1 with polynomial decay of power 4, weight decay 5e-4,
shifts of hue, saturation and exposure.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="YOLO9000: Better, Faster, Stronger",
            year=2017,
            metric="test/error",
            published=0.271,
            tolerance=0.003,
            steps=1_585_600,
            parameters=20_842_376,
        ),
        model=dict(name="darknet", variant="19"),
        task=dict(name="classification"),
        data=dict(IMAGENET, augment=("flip", "color_jitter(0.75, 0.75, 0.75, 0.1)")),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=5e-4),
        schedule=dict(name="polynomial", peak=0.1, power=4.0),
        train=dict(
            batch_size=128,
            steps=1_585_600,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=9_910,
            checkpoint_every=9_910,
        ),
    )
