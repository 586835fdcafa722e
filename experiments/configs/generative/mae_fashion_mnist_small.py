"""MAE on Fashion-MNIST, for two cores: 4×4 patches, three quarters hidden. He et al. 2022.

    fovea reproduce mae_fashion_mnist_small
    fovea train --config vit_fashion_mnist_small --config.model.pool=token \\
        --config.train.init_from=runs/mae_fashion_mnist_small/seed0 --config.train.init_except="('head',)"

The second line fine-tunes the encoder as a classifier: the ViT of that page is the encoder here.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="Masked Autoencoders Are Scalable Vision Learners",
            year=2022,
            metric="test/loss",
            note="another data set and size than the paper's: no published figure",
        ),
        model=dict(
            name="mae",
            patch=4,
            width=128,
            depth=6,
            heads=4,
            mlp=256,
            decoder_width=64,
            decoder_depth=2,
            decoder_heads=4,
        ),
        task=dict(name="mae"),
        data=dict(
            name="tfds:fashion_mnist",
            train="train[:55000]",
            validation="train[55000:]",
            test="test",
            augment=("pad_crop(4)", "flip"),
        ),
        optimizer=dict(name="adamw", b2=0.95, weight_decay=0.05, no_decay=("bias", "scale"), freeze=("positions",)),
        schedule=dict(name="cosine", peak=1e-3, warmup_steps=300),
        train=dict(batch_size=128, steps=6_000, log_every=100, evaluate_every=1_000, checkpoint_every=1_000),
    )
