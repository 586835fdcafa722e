"""VGG-16 on ImageNet. Simonyan & Zisserman 2015, table 3: 25.6 % error of variant D at a single scale.

    fovea train --config vgg_imagenet --workdir runs/vgg16            # for accelerators; not run here
    fovea train --config vgg_imagenet --config.model.variant=E --workdir runs/vgg19

Section 3.1: batch 256, momentum 0.9, weight decay 5e-4, dropout 0.5, learning rate 0.01 divided by 10 three times in 74
passes. The paper divided when accuracy stopped rising; the steps here are our choice.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="Very Deep Convolutional Networks for Large-Scale Image Recognition",
            year=2015,
            table="3",
            metric="test/error",
            published=0.256,
            tolerance=0.005,
            steps=370_000,
            parameters=138_357_544,
        ),
        model=dict(name="vgg", variant="D"),
        task=dict(name="classification"),
        data=dict(IMAGENET, augment=("flip", "pca_color(0.1)")),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=5e-4),
        schedule=dict(name="step", peak=0.01, boundaries=(190_000, 280_000, 330_000), factor=0.1),
        train=dict(batch_size=256, steps=370_000, log_every=100, evaluate_every=5_000, checkpoint_every=5_000),
    )
