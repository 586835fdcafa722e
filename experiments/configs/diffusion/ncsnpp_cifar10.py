"""NCSN++ and DDPM++ on CIFAR-10. Song et al. 2021, tables 2 and 3: FID 2.38 (VE), 3.16 bits/dim (DDPM++, VP).

    fovea reproduce ncsnpp_cifar10             # NCSN++ and the VE process; also ncsnpp_cifar10:ddpmpp, VP

62.8 and 61.8 M parameters, 1.3 M steps, the predictor-corrector sampler: for accelerators. FID needs Inception's
weights (train.judge); without them the row of NCSN++ has the bound. That of DDPM++ has the likelihood of the ODE.
The noise of VE, from 0.01 to 50, is that of images in [-1, 1]. The authors' images are in [0, 1], so beside them their
noise is twice as large.
"""

from experiments.pages import page

SIZES = ("ncsnpp", "ddpmpp")

VE = dict(schedule="variance_exploding", sampler="predictor_corrector", snr=0.16)
VP = dict(schedule="variance_preserving", sampler="reverse_sde", flow_steps=100)


def get_config(size="ncsnpp"):
    likelihood = dict(metric="test/flow_bits_per_dim", published=3.16, tolerance=0.05)
    return page(
        paper=dict(
            title="Score-Based Generative Modeling through Stochastic Differential Equations",
            year=2021,
            table="2" if size == "ddpmpp" else "3",
            steps=1_300_000,
            **likelihood if size == "ddpmpp" else dict(metric="test/bits_per_dim", note="The paper gives FID alone."),
        ),
        model=dict(name="ncsnpp", variant=size),
        task=dict(name="diffusion", bound_terms=100, **VP if size == "ddpmpp" else VE),
        data=dict(name="tfds:cifar10", scale="symmetric", augment=("flip",)),
        optimizer=dict(name="adam", clip_norm=1.0),
        schedule=dict(name="constant", peak=2e-4, warmup_steps=5_000),
        train=dict(
            batch_size=128,
            steps=1_300_000,
            ema=0.999 if size == "ncsnpp" else 0.9999,
            log_every=500,
            evaluate_every=50_000,
            checkpoint_every=10_000,
        ),
    )
