"""VQ-VAE on CIFAR-10. The authors' example (Sonnet): after 10,000 steps MSE / variance 0.056, perplexity 328 of 512.

    fovea reproduce vqvae_cifar10             # the example's recipe; 5 minutes on a GPU, as its notebook has it
    fovea reproduce vqvae_cifar10:small       # for two cores: half as wide, and vectors that are not used start again
    fovea reproduce vqvae_cifar10:fsq         # 512 = 8 · 8 · 8 rounded codes in place of a book

The example's perplexity is that of a batch of 2,048 codes; the one here is that of the whole set, a little larger.
"""

from experiments.pages import page

SIZES = {
    "full": dict(model=dict(), restart=0.0, parameters=662_723),
    "small": dict(model=dict(width=64), restart=0.1, parameters=None),
    "fsq": dict(model=dict(levels=(8, 8, 8)), restart=0.0, parameters=None),
}


def get_config(size="full"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Neural Discrete Representation Learning",
            year=2017,
            table="Sonnet's vqvae_example",
            metric="test/nmse",
            published=0.056,
            tolerance=0.003,
            steps=10_000,
            parameters=of["parameters"],
            note="The published number is of the training set.",
        ),
        model=dict(name="vqvae", **of["model"]),
        task=dict(name="vq", variance=0.2532, restart=of["restart"]),
        data=dict(name="tfds:cifar10", train="train[:45000]", validation="train[45000:]", scale="symmetric"),
        optimizer=dict(name="adam"),
        schedule=dict(name="constant", peak=3e-4),
        train=dict(
            batch_size=32,
            steps=10_000,
            log_every=100,
            evaluate_every=1_000,
            checkpoint_every=500,
            evaluate_batch_size=200,
        ),
    )
