"""Which features of a TensorFlow Datasets set are which fields, by their types."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from data.errors import DataError, unknown
from data.fields import Field


@dataclasses.dataclass(frozen=True)
class Layout:
    """Names of the features; "" where the set has none.

    image: an Image of any number of channels.
    label: a ClassLabel.
    masks: a LabeledImage, or an Image of one channel that is called "…mask…".
    boxes: a sequence of BBoxFeature, a sequence of dictionaries that have one, or a single one.
    box: the key of the BBoxFeature within the dictionaries of `boxes`; "" without dictionaries.
    labels: the key of the ClassLabel there.
    crowd, difficult: the keys of these flags there.
    caption: (name, key) of the Text, or sequence of it, that becomes tokens; the key is that within a dictionary, or
        "" without dictionaries.
    several: whether an example may have several captions.
    texts: (name, key) of each other Text.
    """

    image: str
    label: str = ""
    masks: str = ""
    boxes: str = ""
    box: str = ""
    labels: str = ""
    crowd: str = ""
    difficult: str = ""
    caption: tuple[str, str] | None = None
    several: bool = False
    texts: tuple[tuple[str, str], ...] = ()


def layout(builder, name: str, chosen: tuple[str, ...] = ()) -> Layout:
    """Maps the features of `builder` by their types.

    Where there are several of a type, that of the set's supervised keys is taken, then the one called "image" or
    "label", then the first by name; `chosen` names those to choose from. A Text is the caption where it is chosen, or
    has "caption" in its name. Raises DataError for a set without images.
    """
    from tensorflow_datasets import features as types

    found = dict(builder.info.features.items())
    for feature in chosen:
        if feature not in found:
            raise unknown(f"feature of tfds:{name}", feature, found)
    if chosen:
        found = {feature: found[feature] for feature in found if feature in chosen}
    keys = builder.info.supervised_keys or ()
    preferred = [key for key in keys if isinstance(key, str)] + ["image", "label"]
    order = sorted(found, key=lambda feature: (preferred.index(feature) if feature in preferred else 99, feature))

    is_mask = lambda feature, kind: (
        isinstance(kind, types.LabeledImage)
        or (isinstance(kind, types.Image) and kind.shape[-1] == 1 and "mask" in feature)
    )
    images = [f for f in order if isinstance(found[f], types.Image) and not is_mask(f, found[f])]
    images = [f for f in images if _is(found[f], np.uint8) or _is(found[f], np.uint16)]
    if not images:
        raise DataError(
            f"tfds:{name} has no images of 8 or 16 bits: its features are {', '.join(builder.info.features)}"
        )
    first = lambda test: next((feature for feature in order if test(feature, found[feature])), "")
    texts = [(f, key) for f in order if (key := _key_of(found[f], types.Text)) is not None]
    caption = next(((f, key) for f, key in texts if f in chosen or "caption" in f"{f}/{key}"), None)
    objects = _objects(found, order, types)
    if objects:
        form = _box_feature(found[objects["boxes"]], objects["box"]).bbox_format
        if form is not None and form.name != "REL_YXYX":
            raise DataError(f"tfds:{name} writes boxes as {form.name}; only REL_YXYX can be read")
    return Layout(
        images[0],
        label=first(lambda feature, kind: isinstance(kind, types.ClassLabel)),
        masks=first(is_mask),
        caption=caption,
        several=caption is not None and isinstance(found[caption[0]], types.Sequence),
        texts=tuple(text for text in texts if text != caption),
        **objects,
    )


def _objects(found, order, types) -> dict[str, str]:
    """The arguments of Layout for the first feature that has boxes; sequences come before single boxes."""
    with_boxes = [(f, _key_of(found[f], types.BBoxFeature)) for f in order]
    with_boxes = [(f, key) for f, key in with_boxes if key is not None]
    with_boxes.sort(key=lambda pair: not isinstance(found[pair[0]], types.Sequence))
    if not with_boxes:
        return {}
    feature, key = with_boxes[0]
    inner = dict(found[feature].feature.items()) if key else {}
    flag = lambda word: next((k for k in inner if word in k and _is(inner[k], np.bool_)), "")
    label = next((k for k in sorted(inner, key=lambda k: k != "label") if isinstance(inner[k], types.ClassLabel)), "")
    return {"boxes": feature, "box": key, "labels": label, "crowd": flag("crowd"), "difficult": flag("difficult")}


def _key_of(kind, wanted) -> str | None:
    """Where a feature holds `wanted`: "" (itself, or each of its sequence), a key of its dictionaries, or None."""
    from tensorflow_datasets import features as types

    inner = kind.feature if isinstance(kind, types.Sequence) else kind
    if isinstance(inner, wanted):
        return ""
    if isinstance(kind, types.Sequence) and isinstance(inner, types.FeaturesDict):
        return next((key for key in inner if isinstance(inner[key], wanted)), None)
    return None


def _box_feature(kind, key: str):
    from tensorflow_datasets import features as types

    inner = kind.feature if isinstance(kind, types.Sequence) else kind
    return inner[key] if key else inner


def _is(kind, dtype) -> bool:
    """Whether a feature is one array of this type."""
    from tensorflow_datasets import features as types

    return not isinstance(kind, types.FeaturesDict | types.Sequence) and np.dtype(kind.np_dtype) == dtype


def field_table(
    builder, where: Layout, shape: tuple[int, int, int], max_objects: int, mask_classes: tuple[str, ...]
) -> Mapping[str, Field]:
    """The fields of a set. `mask_classes` names the values of a mask whose feature does not."""
    features = builder.info.features
    fields = {"image": Field("image", shape, "uint8")}
    if where.label:
        fields["label"] = Field("label", (), "int32", _names(features[where.label]))
    if where.masks:
        names = tuple(mask_classes) or _names(features[where.masks])
        fields["masks"] = Field("mask", shape[:2], "int16", names)
    if where.boxes:
        names = _names(features[where.boxes].feature[where.labels]) if where.labels else ("object",)
        fields["boxes"] = Field("boxes", (max_objects, 4), "float32")
        fields["labels"] = Field("labels", (max_objects,), "int32", names, of="boxes")
    return fields


def _names(feature) -> tuple[str, ...]:
    """The classes of a feature; numbers where it has no names (yet), () where it has no classes."""
    from tensorflow_datasets import features as types

    if not isinstance(feature, types.ClassLabel | types.LabeledImage):
        return ()
    return tuple(feature.names or map(str, range(feature.num_classes or 0)))
