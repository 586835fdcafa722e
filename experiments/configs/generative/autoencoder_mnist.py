"""Autoencoders of MNIST with a code of 32 numbers: affine, two hidden layers, denoising convolutions, sparse codes.

    fovea reproduce autoencoder_mnist              # affine: what 32 principal components keep
    fovea reproduce autoencoder_mnist:mlp          # 256 hidden units each way
    fovea reproduce autoencoder_mnist:denoising    # convolutions; half of the pixels are missing, the rest noisy
    fovea reproduce autoencoder_mnist:sparse       # 256 numbers, few of them used

`mse` is per pixel in [0, 1]; 32 principal components leave 0.0168 on the test set.
"""

from experiments.pages import page

SIZES = {
    "affine": dict(model=dict(latent=32), task=dict()),
    "mlp": dict(model=dict(latent=32, hidden=(256,)), task=dict()),
    "denoising": dict(model=dict(latent=32, hidden=(128,), widths=(16, 32)), task=dict(noise=0.2, lost=0.5)),
    "sparse": dict(model=dict(latent=256, hidden=(256,)), task=dict(sparsity=1e-3)),
}


def get_config(size="affine"):
    of = SIZES[size]
    return page(
        paper=dict(
            title="Reducing the Dimensionality of Data with Neural Networks",
            year=2006,
            metric="test/mse",
            note="other widths than the paper's: no published figure",
        ),
        model=dict(name="autoencoder", **of["model"]),
        task=dict(name="autoencoder", **of["task"]),
        data=dict(name="tfds:mnist", train="train[:55000]", validation="train[55000:]", test="test", scale="unit"),
        optimizer=dict(name="adam"),
        schedule=dict(name="cosine", peak=2e-3),
        train=dict(batch_size=128, steps=8_000, log_every=100, evaluate_every=1_000, checkpoint_every=1_000),
    )
