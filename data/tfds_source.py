"""Sets of images of TensorFlow Datasets, read from array_record without TensorFlow."""

import dataclasses
import inspect
import io
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import PIL

from data import geometry, members
from data.cache import kept
from data.decode import load, picture_size
from data.errors import DataError
from data.fields import Field
from data.masks import LARGEST, mask_values
from data.placement import Placement, Size, sides
from data.preparation import Preparation
from data.prepare import find_builder, prepare
from data.reading import Framed
from data.source import Info, Source, normalisation
from data.splits import resolve
from data.text import SPECIAL, UNKNOWN, Vocabulary, encode_any, learned, words_of
from data.tfds_features import Layout, field_table, layout

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
    framed: Framed = Framed(),
    features: tuple[str, ...] = (),
    max_objects: int = 100,
    mask_classes: tuple[str, ...] = (),
    length: int = 32,
    min_count: int = 1,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    stats_images: int = 512,
) -> "TfdsSource":
    """`argument` is the set's name in TFDS, `cifar10` or `name/config`; a set that is not prepared yet is prepared.

    A batch holds these, where the set has them:

    image [B, H, W, C] uint8
    label [B] int32
    masks [B, H, W] int16, -1 beside the picture
    boxes [B, N, 4] float32 (x1, y1, x2, y2) in pixels and labels [B, N] int32; 0 and -1 without an object
    tokens [B, length] int32: in training each use of an example draws one of its captions, otherwise the first is taken

    `truth` has all `captions` of an example, as their words in lower case (data/text.py). Crowds and other texts are in
    `truth` only, the texts under their own names. The vocabulary is that of the training split.

    data_dir: the folder of prepared sets; None: ~/tensorflow_datasets or TFDS_DATA_DIR.
    manual_dir: folder with the set's original files, for preparing it without a download.
    framed: see data/reading.py; without an image_size all images must have the same.
    features: names of the features to use; empty: the image, the class, the masks, the boxes and the captions that
        there are, see data/tfds_features.py.
    max_objects: N; an example with more is an error when it is read.
    mask_classes: names of the values in masks, where the set does not give them.
    length: tokens, with <start> and <end>; longer captions are cut off.
    min_count: words that are rarer in the training split become <unknown>.
    mean, std: over pixels in [0, 1]; where empty, CONSTANTS, or measured on `stats_images` training images.
    """
    builder = prepare(argument, data_dir, manual_dir)
    where, fields = _fields(builder, argument, framed.image_size, features, max_objects, mask_classes)
    fields = {**fields, **_tokens(builder, argument, where, length, min_count)}
    shape = fields["image"].shape
    sizes = {name: info.num_examples for name, info in builder.info.splits.items()}
    first = _training_split(builder)
    known_mean, known_std = CONSTANTS.get(builder.name, ((), ()))
    # Boxes and masks belong to the pictures as TensorFlow decodes them, which turns none.
    preparation = dataclasses.replace(framed.preparation(shape[-1]), upright=False)

    def open_parts(parts: list[tuple[str, int, int]], info: Info) -> TfdsSource:
        spec = "+".join(f"{name}[{start}:{stop}]" for name, start, stop in parts)
        records = _records(builder, argument, spec, where)
        identity = (_files(builder), spec, where, preparation, max_objects, length, min_count)
        return TfdsSource(records, where, preparation, info, identity, parts)

    def sample() -> np.ndarray:
        image = {"image": fields["image"]}
        measured = open_parts([(first, 0, min(stats_images, sizes[first]))], Info(image, (), ()))
        return measured.read_all()["image"]

    mean, std = normalisation(mean or known_mean, std or known_std, sample, shape[-1])
    return open_parts(resolve(split, sizes), Info(fields, mean, std))


def describe(
    argument: str,
    data_dir: str | None = None,
    image_size: Size = None,
    features: tuple[str, ...] = (),
    max_objects: int = 100,
    mask_classes: tuple[str, ...] = (),
    length: int = 32,
    min_count: int = 1,
) -> Info:
    """The info of a set that need not be prepared, with the options of `tfds`.

    Its mean and deviation are 0 and 1. The vocabulary of a set that is not prepared has no words of captions yet.
    """
    builder = find_builder(argument, data_dir)
    where, fields = _fields(builder, argument, image_size, features, max_objects, mask_classes)
    fields = {**fields, **_tokens(builder, argument, where, length, min_count)}
    channels = fields["image"].shape[-1]
    return Info(fields, (0.0,) * channels, (1.0,) * channels)


def _fields(
    builder, name: str, image_size: Size, features: tuple[str, ...], max_objects: int, mask_classes: tuple[str, ...]
) -> tuple[Layout, Mapping[str, Field]]:
    """Raises DataError where the images of the set differ in size and `image_size` is not given."""
    where = layout(builder, name, tuple(features))
    height, width, channels = builder.info.features[where.image].shape
    height, width = sides(image_size) or (height, width)
    if height is None or width is None:
        raise DataError(f"the images of tfds:{name} differ in size: set data.image_size")
    if where.boxes and max_objects < 1:
        raise DataError(f"data.max_objects must be positive, found {max_objects}")
    return where, field_table(builder, where, (height, width, channels), max_objects, mask_classes)


def _tokens(builder, name: str, where: Layout, length: int, min_count: int) -> dict[str, Field]:
    """The field of the captions, with the vocabulary of the training split; {} where the set has none."""
    if where.caption is None:
        return {}
    if length < 3:
        raise DataError(f"data.length must be at least 3, found {length}")

    def words():
        records = _records(builder, name, _training_split(builder), where)
        texts = (words_of(text) for i in range(len(records)) for text in _texts(records[i], *where.caption))
        return {"words": np.array(learned(texts, min_count).words)}

    if not builder.is_prepared():
        return {"tokens": Field("tokens", (length,), "int32", (*SPECIAL, UNKNOWN))}
    code = [inspect.getsource(one) for one in (learned, words_of)]
    vocabulary = kept((_files(builder), where.caption, min_count, code), words)["words"]
    return {"tokens": Field("tokens", (length,), "int32", tuple(map(str, vocabulary)))}


def _training_split(builder) -> str:
    return "train" if "train" in builder.info.splits else next(iter(builder.info.splits))


def _files(builder) -> tuple:
    """What identifies the files of a prepared set."""
    folder = pathlib.Path(builder.data_dir)
    return str(folder), [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]


def _records(builder, name: str, split: str, where: Layout):
    """The examples of a split as dictionaries by feature, their pictures encoded."""
    from tensorflow_datasets import decode as decoding  # half a second, so only where it is used

    undecoded = {feature: decoding.SkipDecoding() for feature in (where.image, where.masks) if feature}
    try:
        return builder.as_data_source(split=split, decoders=undecoded)
    except NotImplementedError as error:
        raise DataError(
            f"tfds:{name} in {builder.data_dir} was not written as array_record, which random access "
            "needs: prepare it in another data_dir with python -m data.prepare"
        ) from error


def _texts(record: dict, feature: str, key: str) -> list[str]:
    """The texts of one example."""
    texts = record[feature][key] if key else record[feature]
    texts = texts if isinstance(texts, list | tuple | np.ndarray) else [texts]
    return [text.decode() for text in texts]


class TfdsSource(Source):
    """Records of a prepared set, decoded and cropped as they are fetched.

    identity: all that the pixels depend on. parts: the slices of splits that the records are.
    """

    def __init__(self, records, where: Layout, preparation: Preparation, info: Info, identity: tuple, parts: list):
        self.records, self.where, self.preparation, self.info = records, where, preparation, info
        self.identity, self.parts = identity, parts
        self.vocabulary = Vocabulary(info.fields["tokens"].names) if "tokens" in info.fields else None

    def __len__(self):
        return len(self.records)

    def fetch(self, ids, keys=None):
        records = self._records(ids)
        keys = [None] * len(ids) if keys is None else np.column_stack([keys, ids])
        examples = [self._example(*row) for row in zip(ids, records, keys, strict=True)]
        return {name: np.stack([example[name] for example in examples]) for name in self.info.fields}

    def resident(self):
        if self.preparation.random or self.where.several:
            return None
        sources = (load, Preparation, Placement, mask_values, encode_any, TfdsSource)
        code = [inspect.getsource(inspect.getmodule(one)) for one in sources]
        return kept((self.identity, PIL.__version__, code), self.read_all)

    def members(self, root):
        return members.of_places(self.parts)

    def labels(self):
        if not self.where.label:
            return super().labels()
        read = lambda: {"label": np.array([self.records[i][self.where.label] for i in range(len(self))], np.int32)}
        return kept((self.identity, "labels"), read)["label"]

    def truth(self, ids):
        return [self._truth(*row) for row in zip(ids, self._records(ids), strict=True)]

    def _records(self, ids) -> list[dict]:
        return self.records.__getitems__([int(i) for i in ids])

    def _example(self, i: int, record: dict, key) -> dict[str, np.ndarray]:
        """The fields of one example, padded."""
        fields = self.info.fields
        image, placement = self.preparation.read(_Encoded(record[self.where.image], i), key)
        example: dict[str, Any] = {"image": image}
        if "label" in fields:
            example["label"] = np.int32(record[self.where.label])
        if "masks" in fields:
            example["masks"] = placement.draw_mask(self._mask(record, i))
        if "boxes" in fields:
            left, top, right, bottom = placement.region
            size = picture_size(_Encoded(record[self.where.image], i), upright=False)
            boxes, labels = self._boxes(record, size), self._box_labels(record)
            if self.where.crowd:
                single = ~np.array(record[self.where.boxes][self.where.crowd], bool)
                boxes, labels = boxes[single], labels[single]
            region = np.clip(boxes, [left, top, left, top], [right, bottom, right, bottom])
            boxes = geometry.move_boxes(placement.matrix, region)
            visible = (boxes[:, 2:] > boxes[:, :2]).all(1)
            boxes, labels = boxes[visible], labels[visible]
            most = fields["boxes"].shape[0]
            if len(boxes) > most:
                raise DataError(f"example {i} has {len(boxes)} objects, but data.max_objects={most}")
            padding = most - len(boxes)
            example["boxes"] = np.pad(boxes, [(0, padding), (0, 0)]).astype(np.float32)
            example["labels"] = np.pad(labels, (0, padding), constant_values=-1)
        if self.vocabulary:
            captions = self._captions(i, record)
            caption = captions[0 if key is None else np.random.default_rng(key).integers(len(captions))]
            example["tokens"] = encode_any(self.vocabulary, caption, *fields["tokens"].shape)
        return example

    def _truth(self, i: int, record: dict) -> dict[str, Any]:
        """The ground truth of one example; see Source.truth."""
        height, width = picture_size(_Encoded(record[self.where.image], i), upright=False)
        matrix = self.preparation.place(width, height).matrix
        truth: dict[str, Any] = {"size": (height, width), "matrix": matrix}
        if self.where.label:
            truth["label"] = int(record[self.where.label])
        if self.where.masks:
            truth["masks"] = self._mask(record, i)
        if self.where.boxes:
            truth |= {"boxes": self._boxes(record, (height, width)), "labels": self._box_labels(record)}
            flags = {"crowd": self.where.crowd, "difficult": self.where.difficult}
            truth |= {name: np.array(record[self.where.boxes][key], bool) for name, key in flags.items() if key}
        if self.where.caption is not None:
            truth["captions"] = self._captions(i, record)
        return truth | {feature: _texts(record, feature, key) for feature, key in self.where.texts}

    def _captions(self, i: int, record: dict) -> list[str]:
        """The words of each caption. Raises DataError where the example has none."""
        captions = [text for caption in _texts(record, *self.where.caption) if (text := words_of(caption))]
        if not captions:
            raise DataError(
                f"example {i} has no words in {self.where.caption[0]!r}: to do without captions, name the other"
                " features in data.features"
            )
        return captions

    def _mask(self, record: dict, i: int) -> np.ndarray:
        """[H, W] int16: the classes of a mask at its own size. Raises DataError for values that are not classes."""
        what = f"the mask of example {i}"
        values = mask_values(load(_Encoded(record[self.where.masks], i), upright=False), what)
        if values.max() > LARGEST:
            raise DataError(f"{what} holds the value {values.max()}: {LARGEST} is the largest class")
        return values.astype(np.int16)

    def _boxes(self, record: dict, size: tuple[int, int]) -> np.ndarray:
        """[n, 4] float32: x1, y1, x2, y2 in the picture's own pixels."""
        found = record[self.where.boxes]
        top, left, bottom, right = np.reshape(found[self.where.box] if self.where.box else found, (-1, 4)).T
        height, width = size
        return np.stack([left * width, top * height, right * width, bottom * height], axis=1).astype(np.float32)

    def _box_labels(self, record: dict) -> np.ndarray:
        """[n] int32: the class of each box, 0 where the set has no classes of objects."""
        found = record[self.where.boxes]
        if self.where.labels:
            return np.array(found[self.where.labels], np.int32).reshape(-1)
        count = len(np.reshape(found[self.where.box] if self.where.box else found, (-1, 4)))
        return np.zeros(count, np.int32)


class _Encoded(io.BytesIO):
    """The encoded picture of an example, which messages name by its number."""

    def __init__(self, content: bytes, example: int):
        super().__init__(content)
        self.example = example

    def __str__(self):
        return f"example {self.example}"
