"""GoogLeNet on ImageNet. Szegedy et al. 2015, table 3: 10.07 % top-5 error of one network and one crop.

    fovea train --config googlenet_imagenet --workdir runs/googlenet      # for accelerators; not run here

Section 6 states momentum 0.9, a learning rate that falls by 4 % every 8 passes, averaged weights, crops of 8 to 100 %
of the area and photometric distortions. The batch, the first rate and the number of passes are our choice.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="Going Deeper with Convolutions",
            year=2015,
            table="3",
            metric="test/top5",
            published=0.8993,
            tolerance=0.003,
            steps=1_250_000,
            parameters=13_378_280,
        ),
        model=dict(name="googlenet"),
        task=dict(name="classification"),
        data=dict(IMAGENET, augment=("flip", "color_jitter(0.4, 0.4, 0.4)")),
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=2e-4),
        schedule=dict(name="exponential", peak=0.01, factor=0.96, every=40_036),
        train=dict(
            batch_size=256, steps=1_250_000, ema=0.9999, log_every=100, evaluate_every=5_000, checkpoint_every=5_000
        ),
    )
