"""Consistency training on MNIST by the U-Net of diffusion_mnist: digits in one or two evaluations. Song et al. 2023.

    fovea reproduce consistency_mnist
    fovea sample --workdir DIR --given label=7 --set steps=2

The levels, distance and weights are those of Song & Dhariwal 2024; network, data, steps and judge are those of
diffusion_mnist, whose rows need 50 evaluations.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Consistency Models",
            year=2023,
            metric="test/recognised",
            note="beside diffusion_mnist at one budget: no published figure",
        ),
        model=dict(
            name="ddpm_unet",
            width=16,
            multipliers=(1, 2, 2),
            blocks=1,
            attention=(7,),
            groups=8,
            dropout_rate=0.0,
            conditional=True,
        ),
        task=dict(name="consistency", levels=40),
        data=dict(name="tfds:mnist", train="train[:58000]", validation="train[58000:]", scale="symmetric"),
        optimizer=dict(name="radam"),
        schedule=dict(name="cosine", peak=1e-3, warmup_steps=200),
        train=dict(
            batch_size=64,
            steps=4_000,
            ema=0.999,
            log_every=100,
            evaluate_every=1_000,
            checkpoint_every=500,
            judge="runs/lenet5_mnist/seed0",
            judge_samples=2_000,
        ),
    )
