"""Darknet-53 on ImageNet. Redmon & Farhadi 2018, table 2: 77.2 % top-1 at 256×256.

    fovea train --config darknet53_imagenet --workdir runs/darknet53      # for accelerators; not run here

The recipe of Darknet-19 (Redmon & Farhadi 2017, section 3): 160 passes, batch 128, momentum 0.9, weight decay 5e-4, a
rate of 0.1 that falls with the fourth power of what is left; crops, flips, shifts of colour.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="YOLOv3: An Incremental Improvement",
            year=2018,
            table="2",
            metric="test/error",
            published=0.228,
            tolerance=0.005,
            steps=1_601_440,
            parameters=41_609_928,
        ),
        model=dict(name="darknet", depth=53),
        task=dict(name="classification"),
        data=dict(
            name="tfds:imagenet2012",
            train="train[:99%]",
            validation="train[99%:]",
            test="validation",
            image_size=256,
            crop="random",
            resident="no",
            augment=("flip", "color_jitter(0.4, 0.4, 0.4)"),
        ),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=5e-4),
        schedule=dict(name="polynomial", peak=0.1, power=4.0),
        train=dict(batch_size=128, steps=1_601_440, log_every=100, evaluate_every=10_000, checkpoint_every=10_000),
    )
