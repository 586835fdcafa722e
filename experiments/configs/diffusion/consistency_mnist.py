"""Consistency training on MNIST by the U-Net of diffusion_mnist: digits in one or two evaluations. Song et al. 2023.

    fovea reproduce consistency_mnist
    fovea sample --workdir DIR --given label=7 --set steps=2

The levels, distance and weights are those of Song & Dhariwal 2024; network, data, steps and judge are those of
diffusion_mnist, whose rows need 50 evaluations.
"""

from experiments.configs.diffusion.diffusion_mnist import BUDGET, DATA, UNET
from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Consistency Models",
            year=2023,
            metric="test/recognised",
            note="beside diffusion_mnist at one budget: no published figure",
        ),
        model=UNET,
        task=dict(name="consistency", levels=40),
        data=DATA,
        optimizer=dict(name="radam"),
        schedule=dict(name="cosine", peak=1e-3, warmup_steps=200),
        train=BUDGET,
    )
