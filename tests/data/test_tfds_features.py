"""Sets of TFDS with boxes, masks and texts, written and read without TensorFlow: features by their types."""

import io

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data import DataError, geometry, open_source
from data.augment import make_augment
from data.pipeline import Feed, first_batch, resident_arrays
from data.source import blank_source
from data.text import Vocabulary
from data.tfds_source import describe
from experiments.build.cost import macs, outline
from experiments.pages import load, override

F = tfds.features
BOXES = ((0.1, 0.2, 0.5, 0.6), (0.5, 0.1, 1.0, 0.35), (0.0, 0.9, 0.2, 1.0))  # ymin, xmin, ymax, xmax


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()


def size(i):
    """(height, width) of picture i."""
    return 40 + 10 * i, 60


def drawn(i):
    """Picture i, and the same as a mask: white where its first box is."""
    height, width = size(i)
    mask = np.zeros((height, width), np.uint8)
    if i:
        top, left, bottom, right = (round(x) for x in np.multiply(BOXES[0], (height, width, height, width)))
        mask[top:bottom, left:right] = 1
    return np.repeat(255 * mask[..., None], 3, -1), mask


class FoveaObjects(tfds.core.GeneratorBasedBuilder):
    """Four pictures with 0, 1, 2, 3 objects, the third a crowd."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        objects = {"bbox": F.BBoxFeature(), "label": F.ClassLabel(names=("cat", "dog")), "is_crowd": np.bool_}
        features = {
            "image": F.Image(shape=(None, None, 3)),
            "image/filename": F.Text(),
            "objects": F.Sequence(objects),
            "segmentation_mask": F.Image(shape=(None, None, 1)),
            "captions": F.Sequence({"id": np.int64, "text": F.Text()}),
        }
        return self.dataset_info_from_configs(features=F.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(4):
            image, mask = drawn(i)
            names = ("dog", "cat", "cat")
            objects = [
                {"bbox": F.BBox(*box), "label": name, "is_crowd": j == 2}
                for j, (box, name) in enumerate(zip(BOXES[:i], names, strict=False))
            ]
            yield (
                i,
                {
                    "image": png(image),
                    "image/filename": f"{i}.png",
                    "objects": objects,
                    "segmentation_mask": png(mask),
                    "captions": [{"id": 7, "text": f"picture {i}"}, {"id": 8, "text": "again"}],
                },
            )


class FoveaFaces(tfds.core.GeneratorBasedBuilder):
    """A class, a mask with named classes, boxes without classes, and a second class that no page asks for."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "picture": F.Image(shape=(8, 10, 3)),
            "coarse": F.ClassLabel(names=("x", "y")),
            "label": F.ClassLabel(names=("a", "b", "c")),
            "regions": F.LabeledImage(labels=["sky", "sea"], shape=(8, 10, 1)),
            "faces": F.Sequence(F.BBoxFeature()),
        }
        return self.dataset_info_from_configs(features=F.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(3):
            yield (
                i,
                {
                    "picture": png(np.full((8, 10, 3), i, np.uint8)),
                    "coarse": i % 2,
                    "label": i,
                    "regions": png(np.full((8, 10), i % 2, np.uint8)),
                    "faces": [F.BBox(0.0, 0.5, 0.5, 1.0)] * i,
                },
            )


class FoveaTold(tfds.core.GeneratorBasedBuilder):
    """Two pictures with a text each, whose name does not say that it is a caption; one has no words."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"image": F.Image(shape=(4, 4, 3)), "sentence": F.Text()}
        return self.dataset_info_from_configs(features=F.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i, text in enumerate(("A dog's life.", "!")):
            yield i, {"image": png(np.zeros((4, 4, 3), np.uint8)), "sentence": text}


class FoveaDeep(tfds.core.GeneratorBasedBuilder):
    """Pictures of 12 bits in 16, and masks of more than 256 classes."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": F.Image(shape=(4, 10, 1), dtype=np.uint16),
            "mask": F.Image(shape=(4, 10, 1), dtype=np.uint16),
        }
        return self.dataset_info_from_configs(features=F.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"image": png(DEEP), "mask": png(DEEP)}


class FoveaLayers(tfds.core.GeneratorBasedBuilder):
    """A picture with transparency, on its side by its EXIF, which TensorFlow ignores: boxes lie on it as it is."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"image": F.Image(shape=(None, None, 3)), "box": F.BBoxFeature()}
        return self.dataset_info_from_configs(features=F.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        file, tags = io.BytesIO(), Image.Exif()
        tags[0x0112] = 6
        Image.new("RGBA", (10, 4), (0, 0, 0, 0)).save(file, "png", exif=tags)
        yield 0, {"image": file.getvalue(), "box": F.BBox(0.0, 0.0, 1.0, 0.5)}


DEEP = np.arange(40, dtype=np.uint16).reshape(4, 10) * 105


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tfds"))


def opened(data_dir, **options):
    options = {"image_size": 64, "crop": "letterbox", "max_objects": 3, **options}
    return open_source("tfds:fovea_objects", "train", data_dir=data_dir, **options)


def by_file(source):
    """Number of the picture -> id in the source: TFDS shuffles what it writes."""
    names = [truth["image/filename"][0] for truth in source.truth(np.arange(len(source)))]
    return {int(name.partition(".")[0]): i for i, name in enumerate(names)}


def test_features_become_fields_by_their_types(data_dir):
    fields = opened(data_dir).info.fields
    assert {name: (field.kind, field.shape) for name, field in fields.items()} == {
        "image": ("image", (64, 64, 3)),
        "masks": ("mask", (64, 64)),
        "boxes": ("boxes", (3, 4)),
        "labels": ("labels", (3,)),
        "tokens": ("tokens", (32,)),
    }
    assert fields["labels"].names == ("cat", "dog") and fields["labels"].of == "boxes"
    faces = open_source("tfds:fovea_faces", "train", data_dir=data_dir, max_objects=2)
    kinds = {name: (field.kind, field.names) for name, field in faces.info.fields.items()}
    assert kinds == {
        "image": ("image", ()),
        "label": ("label", ("a", "b", "c")),
        "masks": ("mask", ("sky", "sea")),
        "boxes": ("boxes", ()),
        "labels": ("labels", ("object",)),
    }
    batch = faces.fetch(np.arange(3))
    np.testing.assert_array_equal(batch["masks"][:, 0, 0], batch["label"] % 2)
    np.testing.assert_array_equal((batch["labels"] == 0).sum(1), batch["label"])
    np.testing.assert_array_equal(faces.labels(), batch["label"])
    only = open_source("tfds:fovea_faces", "train", data_dir=data_dir, features=("picture", "coarse"))
    assert list(only.info.fields) == ["image", "label"] and only.info.classes == ("x", "y")


@pytest.mark.parametrize("crop", ["letterbox", "resize", "center", "random"])
def test_boxes_and_masks_go_where_their_picture_goes(data_dir, crop):
    source = opened(data_dir, crop=crop, image_size=(64, 80))
    ids = np.arange(4)
    batch = source.fetch(ids, np.stack([ids * 0, ids * 0 + 5], axis=1))
    assert batch["image"].shape == (4, 64, 80, 3)
    for number, i in by_file(source).items():
        bright = batch["image"][i, ..., 0] > 127
        assert (bright != (batch["masks"][i] == 1)).mean() < 0.03
        box = geometry.boxes_of_mask(bright.astype(int), 1)[0]
        if number and bright.any():
            np.testing.assert_allclose(batch["boxes"][i, 0], box, atol=1.01)
            assert batch["labels"][i, 0] == 1
        if crop in ("letterbox", "resize"):
            assert (batch["labels"][i] >= 0).sum() == min(number, 2)  # a crowd is not an object to learn
        if crop == "letterbox":
            assert set(np.unique(batch["masks"][i])) == {-1, 0, 1} if number else {-1, 0}
        gone = batch["labels"][i] < 0
        assert (batch["boxes"][i][gone] == 0).all()


def test_truth_is_in_the_pixels_of_the_file_and_the_matrix_leads_back_to_it(data_dir):
    source = opened(data_dir)
    batch = source.fetch(np.arange(4))
    for number, i in by_file(source).items():
        (truth,) = source.truth(np.array([i]))
        height, width = size(number)
        assert truth["size"] == (height, width) and truth["masks"].shape == (height, width)
        assert truth["captions"] == [f"picture {number}", "again"]
        assert truth["crowd"].tolist() == [False, False, True][:number]
        assert truth["labels"].tolist() == [1, 0, 0][:number]
        top, left, bottom, right = np.reshape(BOXES[:number], (-1, 4)).T
        expected = np.stack([left * width, top * height, right * width, bottom * height], 1)
        np.testing.assert_allclose(truth["boxes"], expected, rtol=1e-5)
        own = batch["boxes"][i][: min(number, 2)]
        back = geometry.move_boxes(geometry.inverted(truth["matrix"]), own)
        np.testing.assert_allclose(back, truth["boxes"][:2], atol=1e-3)


def test_more_objects_than_there_is_room_for_are_an_error(data_dir):
    source = opened(data_dir, max_objects=1)
    with pytest.raises(DataError, match=r"has 2 objects, but data\.max_objects=1"):
        source.fetch(np.arange(4))
    with pytest.raises(DataError, match="max_objects must be positive"):
        opened(data_dir, max_objects=0)


def test_captions_become_tokens_in_the_words_of_the_training_split(data_dir):
    source = opened(data_dir, length=5, min_count=2)
    field = source.info.fields["tokens"]
    assert field.names == ("<pad>", "<start>", "<end>", "<unknown>", "again", "picture")  # each number occurs once
    assert opened(data_dir, length=5).info.fields["tokens"].names[4:] == ("0", "1", "2", "3", "again", "picture")
    other = open_source("tfds:fovea_objects", "train[:1]", data_dir=data_dir, image_size=64, max_objects=3, length=5)
    assert other.info.fields["tokens"].names[4:] == ("0", "1", "2", "3", "again", "picture")
    words = Vocabulary(field.names)
    ids = np.arange(4)
    assert {words.decode(tokens) for tokens in source.fetch(ids)["tokens"]} == {"picture <unknown>"}
    drawn = [source.fetch(ids, np.stack([ids * 0, ids * 0 + use], axis=1))["tokens"] for use in range(20)]
    assert {words.decode(tokens) for tokens in np.concatenate(drawn)} == {"picture <unknown>", "again"}
    assert source.resident() is None
    cut = opened(data_dir, length=3)
    assert cut.fetch(ids[:1])["tokens"].tolist() == [[1, cut.info.fields["tokens"].names.index("picture"), 2]]


def test_a_chosen_text_is_the_caption_and_each_example_needs_one(data_dir):
    source = open_source("tfds:fovea_told", "train", data_dir=data_dir)
    assert list(source.info.fields) == ["image"]
    assert sorted(truth["sentence"] for truth in source.truth([0, 1])) == [["!"], ["A dog's life."]]
    chosen = open_source("tfds:fovea_told", "train", data_dir=data_dir, features=("image", "sentence"), length=6)
    (told,) = (i for i in range(2) if source.truth([i])[0]["sentence"] != ["!"])
    names = chosen.info.fields["tokens"].names
    assert names[4:] == ("a", "dog's", "life") and chosen.truth([told])[0]["captions"] == ["a dog's life"]
    np.testing.assert_array_equal(chosen.fetch(np.array([told]))["tokens"], [[1, 4, 5, 6, 2, 0]])
    with pytest.raises(DataError, match=rf"example {1 - told} has no words in 'sentence': .* data\.features"):
        chosen.fetch(np.arange(2))


def test_a_set_with_boxes_is_streamed_kept_and_augmented(data_dir):
    source = opened(data_dir, features=("image", "objects", "segmentation_mask"))
    arrays, batch = resident_arrays(source), Feed(source, 8)[3]
    for name, array in arrays.items():
        np.testing.assert_array_equal(array[batch["id"]], batch[name])
    out = make_augment(("flip(1.0)",), source.info)(batch, jax.random.key(0))
    there = batch["labels"] >= 0
    np.testing.assert_allclose(np.asarray(out["boxes"])[there][:, 0], 64 - batch["boxes"][there][:, 2], atol=1e-5)


def test_the_description_of_a_set_has_its_fields_before_it_is_prepared(data_dir, tmp_path):
    options = dict(image_size=64, max_objects=3)
    info = describe("fovea_objects", data_dir=str(tmp_path), **options)
    real = opened(data_dir)
    assert {k: (f.kind, f.shape, f.dtype) for k, f in info.fields.items()} == {
        k: (f.kind, f.shape, f.dtype) for k, f in real.info.fields.items()
    }
    blank, batch = first_batch(blank_source(info), 2), first_batch(real, 2)
    assert {k: (x.shape, x.dtype) for k, x in blank.items()} == {k: (x.shape, x.dtype) for k, x in batch.items()}


def test_show_makes_a_blank_array_for_every_field(tmp_path):
    overrides = {
        "data.name": "tfds:fovea_objects",
        "data.data_dir": str(tmp_path),  # the set is not prepared there
        "data.image_size": "32",
        "data.mask_classes": "('sky', 'box')",
        "data.augment": "flip",
        "data.validation": "",
        "data.test": "",
        "model.width": "2",
    }
    parts = outline(override(load("unet_camvid"), list(overrides.items())))
    assert parts.example_batch()["masks"].shape == (2, 32, 32)
    assert macs(parts) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": None, "crop": "center"}, "differ in size: set data.image_size"),
        ({"features": ("imge",)}, "did you mean 'image'"),
        ({"features": ("objects",)}, "has no images of 8 or 16 bits"),
    ],
)
def test_errors_name_the_remedy(data_dir, options, message):
    with pytest.raises(DataError, match=message):
        opened(data_dir, **options)


def test_masks_take_the_classes_that_the_page_names(data_dir):
    assert opened(data_dir).info.classes == ("cat", "dog")
    assert opened(data_dir, mask_classes=("sky", "box")).info.classes == ("sky", "box")
    with pytest.raises(DataError, match="has the value 1 in 'masks', but there are 1 classes"):
        Feed(opened(data_dir, mask_classes=("sky",)), 4)[0]


def test_pictures_of_16_bits_need_their_white_and_masks_keep_their_values(data_dir):
    of = lambda **options: open_source("tfds:fovea_deep", "train", data_dir=data_dir, **options)
    with pytest.raises(DataError, match=r"^example \d has 16 bits, but its largest value is 4095: set data.white=4095"):
        of()
    batch = of(white=4095, mask_classes=tuple(map(str, range(4096)))).fetch(np.arange(1))
    np.testing.assert_array_equal(batch["image"][0, ..., 0], np.rint(DEEP / 4095 * 255))
    np.testing.assert_array_equal(batch["masks"][0], DEEP)


def test_hidden_colours_stay_hidden_and_boxes_stay_on_their_picture(data_dir):
    source = open_source("tfds:fovea_layers", "train", data_dir=data_dir, image_size=(4, 10), crop="letterbox")
    batch = source.fetch(np.arange(1))
    assert (batch["image"] == 255).all()
    np.testing.assert_array_equal(batch["boxes"][0, 0], [0, 0, 5, 4])
    assert source.truth([0])[0]["size"] == (4, 10)
