"""MeanFlow on MNIST by the DiT of dit_mnist: digits in one evaluation of the network. Geng et al. 2025.

    fovea reproduce mean_flow_mnist

Network, data, steps and judge are those of dit_mnist, whose row needs 50 evaluations.
"""

from experiments.configs.diffusion.diffusion_mnist import BUDGET, DATA
from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Mean Flows for One-step Generative Modeling",
            year=2025,
            metric="test/recognised",
            note="beside dit_mnist at one budget: no published figure",
        ),
        model=dict(name="dit", variant="S", width=64, depth=3, heads=4, patch=2, conditional=True, spans=True),
        task=dict(name="mean_flow"),
        data=DATA,
        optimizer=dict(name="adam", clip_norm=1.0),
        schedule=dict(name="cosine", peak=1e-3, warmup_steps=200),
        train=BUDGET,
    )
