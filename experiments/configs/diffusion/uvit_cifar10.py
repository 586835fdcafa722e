"""U-ViT-S/2 on CIFAR-10. Bao et al. 2023, table 1: FID 3.11.

    fovea reproduce uvit_cifar10

44 M parameters, the VP process and 500,000 steps: for accelerators. FID needs Inception's weights (train.judge);
without them the row has the bound.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="All are Worth Words: A ViT Backbone for Diffusion Models",
            year=2023,
            metric="test/bits_per_dim",
            steps=500_000,
            note="The paper gives FID alone: no published figure in bits/dim.",
        ),
        model=dict(name="uvit", variant="S", patch=2),
        task=dict(name="diffusion", schedule="variance_preserving", sampler="reverse_sde", bound_terms=100),
        data=dict(name="tfds:cifar10", scale="symmetric", augment=("flip",)),
        optimizer=dict(name="adamw", b1=0.99, weight_decay=0.03),
        schedule=dict(name="constant", peak=2e-4, warmup_steps=2_500),
        train=dict(
            batch_size=128,
            steps=500_000,
            ema=0.9999,
            log_every=500,
            evaluate_every=50_000,
            checkpoint_every=10_000,
        ),
    )
