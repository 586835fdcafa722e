"""OverFeat, fast, on ImageNet. Sermanet et al. 2014, table 2: 39.28 % error at one scale with coarse stride.

    fovea train --config overfeat_imagenet --workdir runs/overfeat      # for accelerators; not run here

Section 3.1: crops of 221 pixels (231 for the fast network) from images whose shorter side is 256, flips, batch 128,
momentum 0.6, weight decay 1e-5, learning rate 0.05 halved after 30, 50, 60, 70 and 80 passes.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="OverFeat: Integrated Recognition, Localization and Detection using Convolutional Networks",
            year=2014,
            table="2",
            metric="test/error",
            published=0.3928,
            tolerance=0.01,
            steps=900_900,
            parameters=145_920_872,
        ),
        model=dict(name="overfeat"),
        task=dict(name="classification"),
        data=dict(IMAGENET, image_size=231),
        optimizer=dict(name="sgd", momentum=0.6, weight_decay=1e-5),
        schedule=dict(name="step", peak=0.05, boundaries=(300_300, 500_500, 600_600, 700_700, 800_800), factor=0.5),
        train=dict(batch_size=128, steps=900_900, log_every=100, evaluate_every=10_000, checkpoint_every=10_000),
    )
