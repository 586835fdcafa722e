"""DiT-S/2 on the pixels of CIFAR-10, class-conditional. Peebles & Xie 2023, whose images are latents of ImageNet.

    fovea reproduce dit_cifar10                # DiT-S; also dit_cifar10:B, for accelerators

The recipe of the paper, section 4: AdamW at a constant rate without decay, batch 256, EMA 0.9999, a tenth of the
labels dropped, and a learned variance on DDPM's linear schedule.
"""

from experiments.pages import page

SIZES = {"S": 32_480_280, "B": 129_546_264}


def get_config(size="S"):
    return page(
        paper=dict(
            title="Scalable Diffusion Models with Transformers",
            year=2023,
            metric="test/bits_per_dim",
            steps=400_000,
            parameters=SIZES[size],
            note="pixels of another data set than the paper's: no published figure",
        ),
        model=dict(name="dit", variant=size, patch=2, conditional=True, outputs=2),
        task=dict(name="diffusion", schedule="linear", variance="learned", sampling_steps=250, bound_terms=100),
        data=dict(name="tfds:cifar10", scale="symmetric", augment=("flip",)),
        optimizer=dict(name="adamw", weight_decay=0.0),
        schedule=dict(name="constant", peak=1e-4),
        train=dict(
            batch_size=256,
            steps=400_000,
            ema=0.9999,
            log_every=500,
            evaluate_every=50_000,
            checkpoint_every=10_000,
        ),
    )
