"""What generated images are worth, by a network trained to classify real ones, or by their pixels alone."""

import functools
import hashlib
import json
import pathlib

import flax.linen as nn
import jax
import numpy as np

from experiments.component import PageError
from experiments.page import STORED, from_canonical
from training import generative_metrics as measures
from training.evaluate import variables

REFERENCE = 10_000  # real images that stand for the training split
NEIGHBOURS = 1_000  # images whose nearest is looked for in the whole training split


def judge(run, state, role: str) -> dict[str, float | int | str | np.ndarray]:
    """Measures `page.train.judge_samples` samples of `run` against its training split.

    In the judge's features `fd`, `kd`, `precision` and `recall`; `fd_floor` and `kd_floor` are of real images, those of
    split `role`. The classes `covered` by samples that lie among the real. Of a conditional network `recognised`, the
    share of samples taken for their class, and `recognised_per_class`. `nearest` is the median distance, in pixels, of
    samples from the nearest training image, `nearest_floor` that of real images: who knows images by heart is nearer.

    Args:
      state: placed.
      role: a split that has not been trained on.
    """
    parts, count = run.parts, run.page.train.judge_samples
    referee = run.referee
    ids = np.arange(count, dtype=np.int32)
    fake = run.gallery.draw(state, {"id": ids}, seed=0)
    # As many held-out images as samples: both distances grow as the images get fewer.
    train, held_out = (
        real(parts.source(r), spread(parts.source(r), n)) for r, n in (("train", REFERENCE), (role, count))
    )
    features = {name: referee.features(x) for name, x in (("fake", fake), ("train", train), ("real", held_out))}
    moments = {name: measures.moments(x) for name, x in features.items()}
    good = measures.among(features["fake"], features["train"])
    labels, classes = referee.classify(fake), parts.info.classes
    away = lambda images: float(np.median(nearest(images[:NEIGHBOURS], parts.source("train"))))
    numbers = {
        "judge": referee.name,
        "fd": measures.frechet(moments["fake"], moments["train"]),
        "fd_floor": measures.frechet(moments["real"], moments["train"]),
        "kd": measures.kernel_distance(features["fake"], features["train"]),
        "kd_floor": measures.kernel_distance(features["real"], features["train"]),
        "precision": float(good.mean()),
        "recall": float(measures.among(features["train"], features["fake"]).mean()),
        "covered": measures.covered(labels, good, len(classes)),
        "nearest": away(fake),
        "nearest_floor": away(held_out),
    }
    if any(getattr(network, "conditional", False) for network in parts.networks.values()):
        hits = labels == ids % len(classes)
        per_class = np.bincount(ids % len(classes), hits) / np.bincount(ids % len(classes))
        numbers |= {"recognised": float(hits.mean()), "recognised_per_class": per_class}
    return numbers


def make_referee(parts):
    """Who judges the samples of a page. Raises PageError where `train.judge` names nobody who can."""
    name = parts.page.train.judge
    return Pixels(parts) if name == "pixels" else Network(name, parts.info.shape)


def spread(source, count: int = REFERENCE) -> np.ndarray:
    """`count` places from all over a split, or all there are: it may be in the order of its classes."""
    return np.linspace(0, len(source) - 1, min(count, len(source))).astype(np.int64)


def real(source, ids: np.ndarray) -> np.ndarray:
    """Images [N, H, W, C] of a split, in [0, 1]."""
    images = source.fetch(ids)["image"]
    return images / np.float32(255) if images.dtype == np.uint8 else images


def nearest(images: np.ndarray, source) -> np.ndarray:
    """The distance of each image from the nearest of all in a split, [N]."""
    flat = lambda x: x.reshape(len(x), -1)
    blocks = np.array_split(np.arange(len(source)), -(-len(source) // REFERENCE))
    return np.min([measures.nearest(flat(images), flat(real(source, ids))) for ids in blocks], axis=0)


class Pixels:
    """Features are the pixels; the class is that of the nearest mean of a class."""

    name = "pixels"

    def __init__(self, parts):
        source = parts.source("train")
        ids = spread(source)
        images, labels = self.features(real(source, ids)), source.fetch(ids)["label"]
        self._means = np.stack([images[labels == c].mean(0) for c in range(len(parts.info.classes))])

    def features(self, images):
        return images.reshape(len(images), -1)

    def classify(self, images):
        return ((self.features(images)[:, None] - self._means) ** 2).sum(-1).argmin(-1)


class Network:
    """The classifier trained in a work directory. Features are what its last affine layer sees."""

    def __init__(self, workdir: str, shape: tuple[int, int, int]):
        from experiments.build import build

        path = pathlib.Path(workdir) / STORED
        if not path.is_file():
            raise PageError(
                f"train.judge={workdir!r} is neither 'pixels' nor the work directory of a classifier: train one there,"
                " name another, or leave it empty and the samples are not judged"
            )
        self._run = build(from_canonical(json.loads(path.read_text())), workdir)
        parts = self._run.parts
        if parts.page.task.name != "classification" or parts.info.shape != shape:
            what = f"task {parts.page.task.name!r} on images {parts.info.shape}"
            raise PageError(f"train.judge={workdir!r} is of {what}, not a classification of images {shape}")
        params, stats, _ = variables(self._run.restore()[0])
        self._variables = {"params": params["model"], **stats["model"]}
        digest = hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves(self._variables)))
        self.name = f"{parts.page.model.name}-{digest.hexdigest()[:8]}"

    def features(self, images):
        return self._look(images)[0]

    def classify(self, images):
        return self._look(images)[1].argmax(-1)

    def _look(self, images):
        outputs = [self._forward(self._variables, images[i : i + 500]) for i in range(0, len(images), 500)]
        return [np.concatenate(x) for x in zip(*jax.device_get(outputs), strict=True)]

    @functools.cached_property
    def _forward(self):
        network, prepare = self._run.parts.networks["model"], self._run.parts.prepare

        @jax.jit
        def forward(variables, images):
            seen = []

            def watch(call, args, kwargs, context):
                if isinstance(context.module, nn.Dense) and context.method_name == "__call__":
                    seen.append(args[0])
                return call(*args, **kwargs)

            with nn.intercept_methods(watch):
                logits = network.apply(variables, prepare({"image": images})["image"], train=False)
            return seen[-1], logits

        return forward
