"""Pages: one screen of configuration per experiment. Nothing here imports jax."""

from experiments.pages.schema import load, page

__all__ = ["load", "page"]
