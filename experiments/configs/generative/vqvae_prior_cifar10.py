"""A class-conditional Gated PixelCNN over the codes of a VQ-VAE on CIFAR-10: the second stage of van den Oord et al.

    fovea reproduce vqvae_cifar10            # first: the network whose codes are modelled
    fovea reproduce vqvae_prior_cifar10
    fovea sample --workdir runs/vqvae_prior_cifar10/seed0 --given label=horse --set temperature=0.9

`nll` is that of the 8 × 8 codes of an image, in nats. Codes drawn uniformly have log 512 each, 399 in all.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Neural Discrete Representation Learning",
            year=2017,
            metric="test/nll",
            note="The paper shows samples and prints no number of its prior.",
        ),
        model=dict(
            name="gated_pixelcnn",
            width=64,
            depth=8,
            first=5,
            hidden=128,
            outputs=512,
            embedding=64,
            conditional=True,
        ),
        frozen=dict(codec=dict(name="vqvae", weights="runs/vqvae_cifar10/seed0")),
        task=dict(name="autoregressive", likelihood="categorical"),
        data=dict(name="tfds:cifar10", train="train[:45000]", validation="train[45000:]", scale="symmetric"),
        optimizer=dict(name="adam", clip_norm=1.0),
        schedule=dict(name="cosine", peak=1e-3, end=1e-5),
        train=dict(
            batch_size=64,
            steps=20_000,
            log_every=100,
            evaluate_every=2_000,
            checkpoint_every=500,
            evaluate_batch_size=200,
        ),
    )
