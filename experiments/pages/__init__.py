"""Pages: one screen of configuration per experiment. Nothing here imports jax."""

from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from experiments.pages.schema import page

__all__ = ["load", "override", "page"]
