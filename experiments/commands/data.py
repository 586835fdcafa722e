"""`fovea data`: what the network sees, before it is scaled."""

import argparse
import dataclasses
import pathlib

import numpy as np

from data.augment import make_augment
from experiments.commands.page import add_config
from training.errors import TrainingError

MOST = 64  # images in a picture


def arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--out", metavar="FILE", default="batch.png")


def run(options: argparse.Namespace) -> None:
    """Draws the examples of the first training step, varied as that step varies them."""
    import jax

    from experiments.build.parts import Parts
    from training import pictures
    from training.task import stream

    parts = Parts(options.page)
    batch = dataclasses.replace(parts.feed, resident=False)[0]
    step_key = jax.random.fold_in(jax.random.wrap_key_data(parts.root_key), 0)
    key = stream(jax.random.fold_in(step_key, 0), "augment")  # as training/step.py derives it
    batch = jax.tree.map(np.asarray, make_augment(options.page.data.augment, parts.info)(batch, key))
    count = min(MOST, len(batch["id"]))
    labels = [_label(batch, i, parts.info.classes) for i in range(count)]
    path = pathlib.Path(options.out)
    try:
        pictures.save(pictures.examples(np.clip(batch["image"][:count], 0, 1), labels), path)
    except (OSError, ValueError) as error:  # a folder that is not there, a kind of picture that is none
        raise TrainingError(f"cannot write {path}: {error}") from error
    print(f"{count} of the {len(batch['id'])} examples of the first step: {path}")


def _label(batch: dict, i: int, classes: tuple[str, ...]) -> str:
    """The class; where two examples are blended, both with the share of the first."""
    if "label" not in batch:
        return f"{batch['id'][i]}"
    name = lambda label: classes[label] if label >= 0 else "none"
    if "mix" in batch and batch["mix"][i] < 1:
        share = 100 * batch["mix"][i]
        return f"{share:.0f} % {name(batch['label'][i])} + {name(batch['label_mix'][i])}"
    return name(batch["label"][i])
