"""Class-conditional DDPM on MNIST, small, for two cores. Ho et al. 2020, with classifier-free guidance.

    fovea reproduce ddpm_mnist_small
    fovea sample --workdir runs/ddpm_mnist_small/seed0 --given label=7 --num 50

Less than a hundredth of the published parameters. Samples are judged by a classifier of real digits, `lenet5_mnist`,
which is to be reproduced before, or another one: how many are recognised as their class, `fd` beside `fd_floor`, and
how near they are to the training images.
"""

from experiments.configs.diffusion.diffusion_mnist import BUDGET, DATA, UNET
from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Denoising Diffusion Probabilistic Models",
            year=2020,
            metric="test/recognised",
            note="another data set than the paper's: no published figure",
        ),
        model=UNET,
        task=dict(name="diffusion", schedule="cosine", sampler="ddim", sampling_steps=50, guidance=1.5),
        data=DATA,
        optimizer=dict(name="adam", clip_norm=1.0),
        schedule=dict(name="cosine", peak=2e-3, warmup_steps=200),
        train=BUDGET,
    )
