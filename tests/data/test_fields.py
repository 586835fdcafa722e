"""Every source declares what it gives, in all of its ways of giving it."""

import jax
import numpy as np
import pytest
from PIL import Image

from data import SOURCES, DataError, open_source
from data.augment import make_augment, make_prepare
from data.fields import KINDS, Field, by_group
from data.source import Info, Source, labelled_images


def images(folder, count, size=(8, 6)):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def of_folder(path):
    images(path / "ape", 3), images(path / "bee", 2)
    return open_source(f"folder:{path}", "train", image_size=(4, 12), crop="letterbox")


def of_npz(path):
    image = np.zeros((6, 5, 4, 3), np.uint8)
    np.savez(path / "set.npz", image=image, label=np.arange(6) % 2)
    return open_source(f"npz:{path}/set.npz", "train", mean=(0.5,) * 3, std=(0.2,) * 3)


def of_pairs(path):
    images(path / "images", 3)
    (path / "masks").mkdir()
    for i in range(3):
        Image.fromarray(np.eye(6, 8, dtype=np.uint8)).save(path / "masks" / f"{i}.png")
    return open_source(f"pairs:{path}", "train", size=(12, 16), border_weight=2.0)


def of_unpaired(path):
    images(path / "A", 3), images(path / "B", 5)
    return open_source(f"unpaired:{path}", "train")


def of_image(path):
    return open_source(f"image:{images(path, 1)}/0.png", "train", image_size=(9, 5))


def of_binarized_mnist(path):
    bits = np.zeros((4, 98), np.uint8)
    np.savez(path / "packed.npz", train=bits, valid=bits, test=bits)
    return open_source(
        f"binarized_mnist:{path}/packed.npz",
        "train",
    )


def of_listed(kind, *lines):
    def opened(path):
        images(path, 2)
        (path / "list.csv").write_text("\n".join(lines) + "\n")
        return open_source(f"{kind}:{path}/list.csv", "train", image_size=8, crop="letterbox")

    return opened


OPEN = {
    "boxes": of_listed("boxes", "file,x1,y1,x2,y2,label", "0.png,0,0,2,2,a", "1.png,,,,,"),
    "captions": of_listed("captions", "file,caption", "0.png,one two", "1.png,three"),
    "tinted_digits": lambda path: open_source("tinted_digits", "train[:9]"),
    "binarized_mnist": of_binarized_mnist,
    "digits": lambda path: open_source("digits", "train[:9]"),
    "folder": of_folder,
    "gaussians": lambda path: open_source("gaussians", "train[:9]", num_examples=20),
    "image": of_image,
    "npz": of_npz,
    "pairs": of_pairs,
    "scenes": lambda path: open_source("scenes", "train", num_train=3, num_validation=1, num_test=1),
    "synthetic": lambda path: open_source("synthetic", "test[3:9]+train[:2]", num_examples=20),
    "unpaired": of_unpaired,
}
# Tested in files of their own: they need a prepared set, or folders of annotations.
APART = {"tfds", "coco", "voc", "side_by_side"}


def test_every_source_is_tested():
    assert OPEN.keys() | APART == SOURCES.keys()


@pytest.mark.parametrize("name", OPEN)
def test_a_source_gives_the_fields_that_it_declares(name, tmp_path):
    source = OPEN[name](tmp_path)
    for part, group in ((source, ""), *((part, group) for group, part in source.groups.items())):
        declared = by_group(source.info.fields)[group]
        for batch in (part.fetch(np.arange(len(part))), part.resident()):
            assert batch.keys() == declared.keys()
            for field, x in batch.items():
                assert (x.shape, x.dtype.name) == ((len(part), *declared[field].shape), declared[field].dtype)


@pytest.mark.parametrize("name", OPEN)
def test_labels_are_those_of_the_examples_or_one_line_says_that_there_are_none(name, tmp_path):
    source = OPEN[name](tmp_path)
    if "label" in source.info.fields:
        labels = source.labels()
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, source.fetch(np.arange(len(source)))["label"])
    else:
        with pytest.raises(DataError, match="no class per example"):
            source.labels()


@pytest.mark.parametrize("name", OPEN)
def test_truth_has_the_size_of_the_picture_and_its_way_to_the_canvas(name, tmp_path):
    source = OPEN[name](tmp_path)
    (truth,) = source.truth(np.array([len(source) - 1]))
    height, width = truth["size"]
    left, top, _ = truth["matrix"] @ [0, 0, 1], truth["matrix"] @ [width, height, 1], None
    assert (left >= -1e-9).all() and (top <= np.array(source.info.shape[1::-1]) + 1e-9).all()
    if name in ("folder", "pairs", "image", "unpaired"):
        assert truth["size"] == (6, 8)  # of the file
    if "label" in source.info.fields:
        assert truth["label"] == source.labels()[-1]
    if name == "pairs":
        np.testing.assert_array_equal(truth["masks"], np.eye(6, 8))


def test_a_source_of_ones_own_gives_truth_by_the_kinds_of_its_fields():
    class Own(Source):
        info = Info(
            {
                "image": Field("image", (4, 4, 1), "uint8"),
                "spots": Field("points", (3, 2, 3), "float32"),
                "things": Field("labels", (3,), "int32", ("a", "b")),
            },
            (0.5,),
            (0.5,),
        )

        def __len__(self):
            return 1

        def fetch(self, ids, keys=None):
            spots = np.zeros((len(ids), 3, 2, 3), np.float32)
            spots[:, 1, 0] = 1, 2, 1
            things = np.tile(np.array([1, -1, 0], np.int32), (len(ids), 1))
            return {"image": np.zeros((len(ids), 4, 4, 1), np.uint8), "spots": spots, "things": things}

    (truth,) = Own().truth(np.array([0]))
    assert truth["spots"].tolist() == [[[1, 2, 1], [0, 0, 0]]] and truth["things"].tolist() == [1, 0]


def test_classes_are_those_of_the_example_or_its_pixels_or_its_objects():
    image = {"image": Field("image", (4, 6, 1), "uint8")}
    mask = {"masks": Field("mask", (4, 6), "int8", ("sky", "sea"))}
    labels = {"labels": Field("labels", (3,), "int32", ("cat", "dog"))}
    assert Info({**image, **labels}, (), ()).classes == ("cat", "dog")
    assert Info({**image, **labels, **mask}, (), ()).classes == ("sky", "sea")
    assert Info(image, (), ()).classes == () and Info(image, (), ()).shape == (4, 6, 1)
    assert labelled_images(("x", "y"), (4, 6, 1), (), ()).classes == ("x", "y")


def test_every_kind_has_its_movement_and_its_value_outside():
    assert {kind.moves for kind in KINDS.values()} == {"linear", "nearest", "corners", "points", "stays"}
    assert Field("mask", (2, 2), "int8").outside == -1 and Field("mask", (2, 2), "int8", fill=0).outside == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"a": ("imge", ())}, "did you mean 'image'"),
        ({"a": ("image", (2, 2, 1), {"group": "other"})}, "must be called 'other'"),
        ({"a": ("labels", (3,), {"of": "boxes"})}, "belongs to 'boxes', which is not a field"),
    ],
)
def test_a_wrong_declaration_is_one_line(fields, message):
    with pytest.raises(DataError, match=message):
        Info(
            {k: Field(kind, shape, "uint8", **(rest or [{}])[0]) for k, (kind, shape, *rest) in fields.items()}, (), ()
        )


def test_every_image_is_scaled_for_the_model():
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    fields = {name: Field("image", (4, 4, 3), "uint8") for name in ("image", "target")}
    info = Info({**fields, "depth": Field("map", (4, 4), "float32")}, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    batch = {"image": image, "target": image, "depth": image[..., 0] / 255, "id": np.arange(2)}
    out = make_prepare(info, "symmetric")(make_augment((), info)(batch, jax.random.key(0)))
    np.testing.assert_allclose(out["target"], image / 127.5 - 1, atol=1e-5)
    np.testing.assert_array_equal(out["target"], out["image"])
    np.testing.assert_array_equal(out["depth"], batch["depth"])
    grey = Info({**fields, "target": Field("image", (4, 4, 1), "uint8")}, (0.5,) * 3, (0.2,) * 3)
    with pytest.raises(DataError, match=r"mean of 3 channel.*'target' has 1: write 'unit' or 'symmetric'"):
        make_prepare(grey)
    make_prepare(grey, "unit")
