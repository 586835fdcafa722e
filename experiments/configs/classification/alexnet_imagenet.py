"""AlexNet on ImageNet. Krizhevsky et al. 2012, table 2: 40.7 % error of one network (ten crops) on the validation set.

    fovea train --config alexnet_imagenet --workdir runs/alexnet      # for an accelerator; not run here

The paper's recipe: crops of 227 pixels from images whose shorter side is 256, mirrored, with the lighting of section
4.1; learning rate 0.01 divided by 10 three times in about 90 passes. The paper divided when the error stopped falling;
the steps here are our choice.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="ImageNet Classification with Deep Convolutional Neural Networks",
            year=2012,
            table="2",
            metric="test/error",
            published=0.407,
            tolerance=0.01,
            steps=900_000,
            parameters=60_965_224,
            macs=724_406_816,
        ),
        model=dict(name="alexnet", variant="two_group"),
        task=dict(name="classification"),
        data=dict(IMAGENET, image_size=227, augment=("flip", "pca_color(0.1)")),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=5e-4),
        schedule=dict(name="step", peak=0.01, boundaries=(300_000, 600_000, 800_000), factor=0.1),
        train=dict(batch_size=128, steps=900_000, log_every=100, evaluate_every=10_000, checkpoint_every=10_000),
    )
