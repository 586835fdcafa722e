"""Pre-activation ResNet on CIFAR-10. He et al. 2016 (ECCV), table 4: 6.37 % test error of 110 layers.

    fovea reproduce preact_cifar10           # 64,000 steps, for an accelerator
    fovea reproduce preact_cifar10:small     # 20 layers, 1,000 steps of one cycle: 15 minutes on two cores

    fovea train --config preact_cifar10 --config.model.depth=164 --config.model.block=bottleneck \\
        --config.model.shortcut=B --workdir runs/preact164                                        # 5.46 %

The paper's recipe: weight decay on everything, learning rate 0.1 divided by 10 at 32,000 and 48,000 steps. The paper
starts with 400 steps at 0.01; here the rate rises linearly over them. 5,000 images choose the checkpoint.
"""

from experiments.pages import page

SIZES = {
    "full": dict(
        depth=110,
        splits=dict(train="train[:90%]", validation="train[90%:]"),
        nesterov=False,
        schedule=dict(name="step", peak=0.1, boundaries=(32_000, 48_000), factor=0.1, warmup_steps=400),
        train=dict(steps=64_000, log_every=100, evaluate_every=2_000, checkpoint_every=2_000),
    ),
    "small": dict(
        depth=20,
        splits=dict(train="train", validation=""),
        nesterov=True,
        schedule=dict(name="one_cycle", peak=0.4),
        train=dict(steps=1_000, log_every=50, evaluate_every=250, checkpoint_every=250),
    ),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Identity Mappings in Deep Residual Networks",
            year=2016,
            table="4",
            metric="test/error",
            published=0.0637,
            tolerance=0.003,
            steps=64_000,
            parameters=1_727_962 if size == "full" else None,
        ),
        model=dict(name="preact_cifar", depth=of["depth"], block="basic", shortcut="A"),
        task=dict(name="classification"),
        data=dict(name="tfds:cifar10", **of["splits"], test="test", augment=("pad_crop(4)", "flip")),
        optimizer=dict(name="sgd", momentum=0.9, nesterov=of["nesterov"], weight_decay=1e-4),
        schedule=of["schedule"],
        train=dict(batch_size=128, seed=0, **of["train"]),
    )
