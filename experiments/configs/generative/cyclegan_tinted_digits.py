"""CycleGAN between digits in black on white and in blue on tinted paper, at 32 × 32. Zhu et al. 2017.

    fovea train --config cyclegan_tinted_digits --workdir runs/cyclegan_tinted_digits

The paper's losses and optimizer with narrow networks of its kind; no download. For two folders, as horse2zebra:

    --config.data.name=unpaired:horse2zebra --config.data.a={split}A --config.data.b={split}B

and networks of the paper's size, which are the defaults.
"""

from experiments.pages import page

GENERATOR = dict(name="cyclegan_generator", width=16, blocks=2)
DISCRIMINATOR = dict(name="cyclegan_discriminator", width=16, layers=2)


def get_config():
    return page(
        paper=dict(
            title="Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
            year=2017,
            metric="test/cycle",
            note="another data set than the paper's: no published figure",
        ),
        model=dict(
            to_other=GENERATOR,
            to_image=GENERATOR,
            discriminator_other=DISCRIMINATOR,
            discriminator_image=DISCRIMINATOR,
        ),
        task=dict(name="translation", cycle=10.0, identity=0.5, history=50),
        data=dict(name="tinted_digits", size=32, scale="symmetric", sampler="unpaired"),
        optimizer=dict(name="adam", b1=0.5),
        schedule=dict(name="linear", peak=4e-4),
        train=dict(batch_size=16, steps=500, log_every=20, evaluate_every=250, checkpoint_every=250),
    )
