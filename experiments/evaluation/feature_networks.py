"""Networks in whose features generated images are compared with real ones, and the pixels themselves."""

import functools
import hashlib
import pathlib
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from data.npz import read_arrays
from data.source import Info
from experiments.build.memory import recall
from experiments.build.parts import Parts
from experiments.errors import PageError, near
from experiments.pages.stored import STORED, read_page
from models.classification.inception_v3 import PORTS, InceptionV3
from models.port import from_torch
from training.checkpoint import Checkpoints
from training.evaluate import variables

EXAMPLES = 10_000  # training images from which the mean of each class is computed
SIDE = 299  # pixels of Inception's input


def feature_network(name: str, parts: Parts) -> "Pixels | Trained | Inception":
    """The network in whose features samples of a run are compared.

    It has `features(images)` [N, width] and `classify(images)` [N], places in the classes of the run's data, −1 for a
    class that these do not have; `classify` is None where the network has fewer than two classes.

    Args:
      name: a classifier's work directory, "inception:FILE.npz" or "pixels".

    Raises:
      PageError: the name does not lead to a usable network.
    """
    if name.startswith("inception:"):
        return Inception(name.removeprefix("inception:"), parts.info.shape)
    return Pixels(parts) if name == "pixels" else Trained(name, parts.info)


class Pixels:
    """Features are the pixels; the class is that of the nearest mean of a class."""

    name, distance = "pixels", "fd"

    def __init__(self, parts):
        source = parts.source("train")
        if "label" not in source.info.fields:
            raise PageError("judge('pixels') needs data with a label for each image")
        ids = np.linspace(0, len(source) - 1, min(EXAMPLES, len(source))).astype(np.int64)
        batch = source.fetch(ids)
        images, labels = batch["image"], batch["label"]
        images = self.features(images / np.float32(255) if images.dtype == np.uint8 else images)
        self._means = np.stack([images[labels == c].mean(0) for c in range(len(parts.info.classes))])
        self.width = images.shape[-1]

    def features(self, images):
        return images.reshape(len(images), -1)

    def classify(self, images):
        return ((self.features(images)[:, None] - self._means) ** 2).sum(-1).argmin(-1)


class Trained:
    """The classifier trained in a work directory. Features are what its last affine layer sees.

    Its classes are those of the run's data by their names, in whatever order it was trained.
    """

    distance = "fd"

    def __init__(self, workdir: str, info: Info):
        path, shape = pathlib.Path(workdir), info.shape
        if not (path / STORED).is_file():
            raise PageError(
                f"train.judge={workdir!r} is neither 'pixels' nor the work directory of a classifier, nor"
                " 'inception:FILE.npz': train one there, name another, or leave it empty and the samples are not judged"
            )
        parts = Parts(read_page(path), recall(path))
        if parts.page.task.name != "classification" or parts.info.shape != shape:
            what = f"task {parts.page.task.name!r} on images {parts.info.shape}"
            raise PageError(f"train.judge={workdir!r} is of {what}, not a classification of images {shape}")
        self._places = places(workdir, parts.info.classes, info.classes)
        self.classify = self._classify if len(info.classes) > 1 else None
        params, stats, _ = variables(self._restored(parts, path))
        weights = {"params": params["model"], **stats["model"]}
        self.name = f"{parts.page.model.name}-{fingerprint(weights)}"
        self._look = Look(parts.networks["model"], weights, lambda x: parts.prepare({"image": x})["image"], 500)
        self.width = self._look.width(shape)

    @staticmethod
    def _restored(parts, workdir):
        checkpoints = Checkpoints(workdir / "checkpoints")
        found = checkpoints.restore(parts.abstract_state, checkpoints.best())
        if found is None:
            raise PageError(f"train.judge={str(workdir)!r} has no checkpoint: train it first")
        return found[1]

    def features(self, images):
        return self._look(images)[0]

    def _classify(self, images):
        return self._places[self._look(images)[1].argmax(-1)]


def places(workdir: str, theirs: Sequence[str], ours: Sequence[str]) -> np.ndarray:
    """[len(theirs)] the place in `ours` of each class of a judge, −1 where it is not among them.

    Raises PageError where the judge was not trained with one of ours.
    """
    missing = [name for name in ours if name not in theirs]
    if missing and len(ours) > 1:
        hint = near(missing[0], theirs)
        raise PageError(f"train.judge={workdir!r} was trained without the class {missing[0]!r}{hint}")
    return np.array([ours.index(name) if name in ours else -1 for name in theirs])


class Inception:
    """The network of the Fréchet Inception distance, with the user's copy of its weights. Features are its last mean.

    They are those of pytorch-fid, in an .npz that numpy writes of its file:

        np.savez("inception.npz", **torch.load("pt_inception-2015-12-05-6726825d.pth"))
    """

    distance = "fid"
    classify = None  # its classes are not the data's

    def __init__(self, file: str, shape: tuple[int, int, int]):
        judge, path = f"train.judge='inception:{file}'", pathlib.Path(file).expanduser()
        if shape[-1] not in (1, 3):
            raise PageError(f"{judge} looks at images of 1 or 3 channels, not at {shape}")
        if not path.is_file():
            raise PageError(f"{judge}: there is no file {file!r}")
        network, image = InceptionV3(variant="fid", num_classes=1008), jnp.zeros((1, SIDE, SIDE, 3))
        try:
            like = jax.eval_shape(functools.partial(network.init, train=False), jax.random.key(0), image)
            weights = from_torch(read_weights(path), like, PORTS["pytorch_fid"])
        except ValueError as error:
            first, *others = str(error).splitlines()
            more = f" (and {len(others)} more)" if others else ""
            raise PageError(f"{judge} does not hold the network's weights: {first}{more}") from error
        self.name = f"inception_v3-{fingerprint(weights)}"
        self._look = Look(network, weights, self.prepare, 50)
        self.width = self._look.width(shape)

    def features(self, images):
        return self._look(images)[0]

    @staticmethod
    def prepare(images):
        """[N, H, W, 1 or 3] in [0, 1] -> [N, 299, 299, 3] in [-1, 1], resized as pytorch-fid does: no antialiasing."""
        images = jnp.repeat(images, 3 // images.shape[-1], -1)
        return 2 * jax.image.resize(images, (len(images), SIDE, SIDE, 3), "bilinear", antialias=False) - 1


def read_weights(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz, and never a pickle. Raises ValueError if the file is something else."""
    try:
        arrays = read_arrays(path)
    except ValueError as error:
        raise ValueError("it is not an .npz of arrays") from error
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):  # torch's own files are zips too
        raise ValueError("it is a zip, but not an .npz of arrays")
    return arrays


def fingerprint(weights) -> str:
    """Eight digits that other weights would not have."""
    return hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves(weights))).hexdigest()[:8]


class Look:
    """images [N, H, W, C] -> (features [N, D] before the last affine layer, logits); `size` images at a time."""

    def __init__(self, network: nn.Module, weights, prepare: Callable, size: int):
        trunk = network.clone(num_classes=0)
        self._weights, self._size = jax.device_put(weights), size

        def both(weights, images):
            # Accelerators would round the products, so that samples would be judged differently there.
            with jax.default_matmul_precision("float32"):
                x = prepare(images)
                return trunk.apply(weights, x, train=False)["pre_logits"], network.apply(weights, x, train=False)

        self._both = jax.jit(both)

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        blocks = [self._both(self._weights, images[i : i + self._size]) for i in range(0, len(images), self._size)]
        return [np.concatenate(x) for x in zip(*jax.device_get(blocks), strict=True)]

    def width(self, shape: tuple[int, int, int]) -> int:
        """D, for images of this shape; computes nothing."""
        return self._both.eval_shape(self._weights, jnp.zeros((1, *shape)))[0].shape[-1]
