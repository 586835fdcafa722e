"""BoTNet-50 on ImageNet. Srinivas et al. 2021, section 4.8: global attention with relative positions in stage 4.

    fovea train --config botnet_imagenet --workdir runs/botnet                               # for accelerators; not run
    fovea train --config botnet_imagenet --config.model.last_strides=1 --workdir runs/s1     # BoTNet-S1-50
    fovea train --config botnet_imagenet --config.data.image_size=256 --config.model.attention=halo \\
        --config.model.attended=2 --config.model.heads=8 --workdir runs/halo           # halo attention in two stages

SGD with momentum 0.9, weight decay 1e-4, label smoothing, a cosine over 100 passes.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="Bottleneck Transformers for Visual Recognition",
            year=2021,
            metric="test/error",
            steps=125_000,
            parameters=20_852_008,
        ),
        model=dict(name="botnet", depth=50),
        task=dict(name="classification", label_smoothing=0.1),
        data=IMAGENET,
        optimizer=dict(name="sgd", momentum=0.9, nesterov=True, weight_decay=1e-4),
        schedule=dict(name="cosine", peak=0.4, warmup_steps=6_250),
        train=dict(
            batch_size=1_024,
            steps=125_000,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=1_250,
            checkpoint_every=1_250,
        ),
    )
