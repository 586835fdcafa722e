"""Pages: one screen of configuration per experiment. Nothing here imports jax."""

from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from experiments.pages.schema import page

# The section `data` of a classifier on ImageNet, whose images are streamed. A hundredth of the training set chooses the
# checkpoint, and the published validation set is the test set.
IMAGENET = dict(
    name="tfds:imagenet2012",
    train="train[:99%]",
    validation="train[99%:]",
    test="validation",
    image_size=224,
    crop="random",
    resident="no",
    augment=("flip",),
)

__all__ = ["IMAGENET", "load", "override", "page"]
