"""`fovea data`: an augmented training batch, as the network sees it before it is scaled."""

import argparse
import dataclasses
import pathlib

import numpy as np

from experiments.commands.page import add_config
from experiments.commands.values import output
from training.errors import TrainingError
from training.views import shown

MOST = 64  # examples in a picture


def arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--out", type=output, metavar="FILE", default="batch.png")


def run(options: argparse.Namespace) -> None:
    """Draws the examples of the first training step, augmented as in that step, by the task's views of the data."""
    import jax

    from data.augment import make_augment
    from experiments.build.parts import Parts
    from training import pictures
    from training.step import update_key
    from training.task import stream
    from training.views import image, panel, rgb

    parts = Parts(options.page)
    for line in parts.descriptions:
        print(line)
    info, feed = parts.info, dataclasses.replace(parts.feed, resident=False)[0]
    key = stream(update_key(parts.root_key, 0), "augment")
    batch = jax.tree.map(np.asarray, make_augment(options.page.data.augment, info)(feed, key))
    views = [view for view in parts.task.views if set(view.needs) <= batch.keys()] or [image()]
    count = min(MOST, len(batch["id"]))
    examples = [{name: x[i] for name, x in batch.items()} for i in range(count)]
    path = pathlib.Path(options.out)
    if any(not isinstance(picture, str) for picture in list(shown(views, examples[0], info).values())[1:]):
        picture = panel(views, examples[:8], info)
        count = min(count, 8)
    else:  # one picture for each example, with its text below
        labels = [_label(example, views, info) for example in examples]
        picture = pictures.examples(np.stack([rgb(example["image"]) for example in examples]) / 255, labels)
    try:
        pictures.save(picture, path)
    except (OSError, ValueError) as error:  # a folder that does not exist, an unknown kind of file
        raise TrainingError(f"cannot write {path}: {error}") from error
    print(f"{count} of the {len(batch['id'])} examples of the first step: {path}")


def _label(example: dict, views, info) -> str:
    """The text of an example; for two blended examples, both classes and the share of the first."""
    if "mix" in example and example["mix"] < 1:
        share, name = 100 * example["mix"], lambda label: info.classes[label] if label >= 0 else "none"
        return f"{share:.0f} % {name(example['label'])} + {name(example['label_mix'])}"
    texts = [text for text in shown(views, example, info).values() if isinstance(text, str)]
    return "  ".join(texts) or str(example["id"])
