"""Any image-classification set of TensorFlow Datasets, read from array_record without TensorFlow."""

import functools
import inspect
import io
import pathlib

import numpy as np
import PIL

from data.cache import kept
from data.decode import check_crop, decode
from data.errors import DataError
from data.prepare import find_builder, prepare
from data.source import Info, Source, normalisation
from data.splits import resolve

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Mean and standard deviation per channel over the pixels of the training split, in [0, 1].
CONSTANTS = {
    "mnist": ((0.13066,), (0.30811,)),
    "fashion_mnist": ((0.28604,), (0.35302,)),
    "cifar10": ((0.49140, 0.48216, 0.44653), (0.24703, 0.24349, 0.26159)),
    "cifar100": ((0.50708, 0.48655, 0.44092), (0.26733, 0.25644, 0.27615)),
    "imagenet2012": _IMAGENET,
    "imagenet_v2": _IMAGENET,
    "imagenette": _IMAGENET,
}


def tfds(
    argument: str,
    split: str,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    image_size: int | None = None,
    crop: str = "center",
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    stats_images: int = 512,
) -> "TfdsSource":
    """`argument` is the set's name in TFDS, `cifar10` or `name/config`; what is not prepared yet is prepared.

    data_dir: where prepared sets lie; None: ~/tensorflow_datasets or TFDS_DATA_DIR.
    manual_dir: folder with the set's original files, for preparing it without a download.
    image_size, crop: see data/decode.py; without a size all images must have the same.
    mean, std: over pixels in [0, 1]; where empty, CONSTANTS, else measured on `stats_images` training images.
    """
    from tensorflow_datasets import decode as decoding  # half a second, so only where it is used

    check_crop(crop, image_size)
    builder = prepare(argument, data_dir, manual_dir)
    image, label = _supervised_keys(builder, argument)
    features = builder.info.features
    height, width, channels = features[image].shape
    if image_size:
        height = width = image_size
    if height is None or width is None:
        raise DataError(f"the images of tfds:{argument} differ in size: set data.image_size")

    folder = pathlib.Path(builder.data_dir)
    sizes = {name: info.num_examples for name, info in builder.info.splits.items()}
    first = "train" if "train" in sizes else next(iter(sizes))
    read = functools.partial(decode, channels=channels, size=image_size, crop=crop)
    known_mean, known_std = CONSTANTS.get(builder.name, ((), ()))

    def open_parts(parts: list[tuple[str, int, int]], info: Info | None) -> TfdsSource:
        spec = "+".join(f"{name}[{start}:{stop}]" for name, start, stop in parts)
        try:
            records = builder.as_data_source(split=spec, decoders={image: decoding.SkipDecoding()})
        except NotImplementedError as error:
            raise DataError(
                f"tfds:{argument} in {builder.data_dir} was not written as array_record, which random access "
                "needs: prepare it in another data_dir with python -m data.prepare"
            ) from error
        files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]
        return TfdsSource(records, image, label, read, info, (str(folder), files, spec, width, height, channels, crop))

    def sample() -> np.ndarray:
        return open_parts([(first, 0, min(stats_images, sizes[first]))], None).read_all()["image"]

    mean, std = normalisation(mean or known_mean, std or known_std, sample, channels)
    info = Info(tuple(features[label].names), (height, width, channels), mean, std)
    return open_parts(resolve(split, sizes), info)


def describe(argument: str, data_dir: str | None = None, image_size: int | None = None) -> Info:
    """What is known of a set that need not be prepared: all but its mean and deviation, which are 0 and 1 here."""
    builder = find_builder(argument, data_dir)
    image, label = _supervised_keys(builder, argument)
    features = builder.info.features
    height, width, channels = features[image].shape
    shape = (image_size or height, image_size or width, channels)
    if None in shape:
        raise DataError(f"the images of tfds:{argument} differ in size: set data.image_size")
    return Info(tuple(map(str, range(features[label].num_classes))), shape, (0.0,) * channels, (1.0,) * channels)


class TfdsSource(Source):
    """Records of a prepared set, decoded and cropped as they are fetched. `identity`: all that the pixels depend on."""

    def __init__(self, records, image: str, label: str, read, info: Info, identity: tuple):
        self.records, self.image, self.label, self.read, self.info = records, image, label, read, info
        self.identity = identity

    def __len__(self):
        return len(self.records)

    def fetch(self, ids, keys=None):
        examples = self.records.__getitems__([int(i) for i in ids])
        keys = [None] * len(ids) if keys is None else np.column_stack([keys, ids])
        files = [io.BytesIO(example[self.image]) for example in examples]
        images = [self.read(file, key=key) for file, key in zip(files, keys, strict=True)]
        labels = np.array([example[self.label] for example in examples], np.int32)
        return {"image": np.stack(images), "label": labels}

    def resident(self):
        if self.read.keywords["crop"] == "random":
            return None
        code = inspect.getsource(inspect.getmodule(decode))
        return kept((self.identity, PIL.__version__, code), self.read_all)


def _supervised_keys(builder, name: str) -> tuple[str, str]:
    """Names of the features that are image and class. Raises DataError if it is no classification set."""
    from tensorflow_datasets import features

    keys = builder.info.supervised_keys
    found = dict(builder.info.features.items())
    kinds = [type(found.get(key)) for key in keys or () if isinstance(key, str)]
    if kinds != [features.Image, features.ClassLabel] or found[keys[0]].np_dtype != np.uint8:
        raise DataError(f"tfds:{name} is no image-classification set: its supervised keys are {keys}")
    return keys
