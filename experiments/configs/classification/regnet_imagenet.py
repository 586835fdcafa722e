"""RegNetX-400MF on ImageNet. Radosavovic et al. 2020, table 2: 27.3 % test error.

    fovea train --config regnet_imagenet --workdir runs/regnet      # for accelerators; not run here

    fovea train --config regnet_imagenet --config.model.variant=Y-400MF --workdir runs/regnet_y        # 25.9 %

Section 5: 100 passes, batch 1,024, learning rate 0.8 with a warm-up of 5 passes and a cosine, weight decay 5e-5.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="Designing Network Design Spaces",
            year=2020,
            table="2",
            metric="test/error",
            published=0.273,
            tolerance=0.003,
            steps=123_900,
            parameters=5_495_976,
        ),
        model=dict(name="regnet"),
        task=dict(name="classification"),
        data=IMAGENET,
        optimizer=dict(name="sgd", momentum=0.9, nesterov=True, weight_decay=5e-5),
        schedule=dict(name="cosine", peak=0.8, warmup_steps=6_195),
        train=dict(
            batch_size=1_024,
            steps=123_900,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=2_478,
            checkpoint_every=2_478,
        ),
    )
