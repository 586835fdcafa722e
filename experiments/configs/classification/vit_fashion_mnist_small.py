"""A small ViT on Fashion-MNIST, at the budget of `resnet20_fashion_mnist:small`. Dosovitskiy et al. 2021.

    fovea reproduce vit_fashion_mnist_small

The same data, augmentation, batches and 1,500 steps as the ResNet-20 beside it, and about as many multiply-adds per
image, so that the two rows of the ledger compare the networks. The paper has no figure without pre-training at this
size: convolutions are expected to be ahead here.
"""

from experiments.pages import page


def get_config():
    return page(
        paper=dict(
            title="An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
            year=2021,
            metric="test/error",
            note="beside resnet20_fashion_mnist:small at equal budget; no published figure",
        ),
        model=dict(name="vit", variant="Ti", patch=4, width=128, depth=6, heads=4, mlp=256, pool="gap"),
        task=dict(name="classification"),
        data=dict(
            name="tfds:fashion_mnist", train="train", validation="", test="test", augment=("pad_crop(4)", "flip")
        ),
        optimizer=dict(name="adamw", weight_decay=0.05, no_decay=("bias", "scale", "position"), clip_norm=1.0),
        schedule=dict(name="cosine", peak=1e-3, warmup_steps=150),
        train=dict(batch_size=128, steps=1_500, seed=0, log_every=50, evaluate_every=500, checkpoint_every=500),
    )
