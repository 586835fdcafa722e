"""Convolutional VAE on Fashion-MNIST, of grey levels as they are, by the discretised logistic of Salimans et al. 2017.

    fovea reproduce vae_conv_fashion_mnist_small
    fovea sample --workdir runs/vae_conv_fashion_mnist_small/seed0 --path interpolation

`nelbo` in nats; divided by 784 ln 2 = 543.4 it is in bits per pixel. For minutes on two cores: 15 passes.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Auto-Encoding Variational Bayes",
            year=2014,
            metric="test/nelbo",
            note="neither the data nor the likelihood of the paper: no published figure",
        ),
        model=dict(name="vae_conv", latent=32, widths=(32, 64), outputs=2),
        task=dict(name="vae", likelihood="discretised_logistic", importance_samples=10),
        data=dict(name="tfds:fashion_mnist", train="train", test="test", scale="symmetric"),
        optimizer=dict(name="adam", clip_norm=100.0),
        schedule=dict(name="cosine", peak=1e-3, warmup_steps=200),
        train=dict(batch_size=128, steps=7_000, log_every=100, evaluate_every=1_000, checkpoint_every=1_000),
    )
