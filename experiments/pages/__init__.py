"""Pages: one screen of configuration per experiment. Nothing here imports jax."""

from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from experiments.pages.schema import page
from experiments.pages.sets import BINARIZED_MNIST, COCO, IMAGENET

__all__ = ["BINARIZED_MNIST", "COCO", "IMAGENET", "load", "override", "page"]
