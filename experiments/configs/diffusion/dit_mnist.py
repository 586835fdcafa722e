"""A small DiT on MNIST, beside the U-Net of diffusion_mnist:v at equal compute. Peebles & Xie 2023.

    fovea reproduce dit_mnist

44 million multiply-adds for an image of 28×28, where the U-Net has 48; process, data, steps and judge are the same.
"""

from experiments.configs.diffusion.diffusion_mnist import BUDGET, DATA
from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Scalable Diffusion Models with Transformers",
            year=2023,
            metric="test/recognised",
            note="beside diffusion_mnist:v at equal compute; no published figure",
        ),
        model=dict(name="dit", variant="S", width=64, depth=3, heads=4, patch=2, conditional=True),
        task=dict(
            name="diffusion",
            schedule="cosine",
            target="velocity",
            sampler="ddim",
            sampling_steps=50,
            guidance=1.5,
        ),
        data=DATA,
        optimizer=dict(name="adam", clip_norm=1.0),
        schedule=dict(name="cosine", peak=2e-3, warmup_steps=200),
        train=BUDGET,
    )
