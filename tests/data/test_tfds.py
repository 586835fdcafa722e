"""A TFDS set of one's own, prepared and read without TensorFlow."""

import importlib.util
import io
import os
import pathlib
import socket

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from urllib3.util import Retry

from data import DataError, cache, open_source
from data.pipeline import Feed, resident_arrays

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 6, 5, 3), np.uint8)
CLASSES = ("ape", "bee", "cow")


class FoveaNoise(tfds.core.GeneratorBasedBuilder):
    """Thirty images of noise, in three classes."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"image": tfds.features.Image(shape=(6, 5, 3)), "label": tfds.features.ClassLabel(names=CLASSES)}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(range(24)), "test": self._generate_examples(range(24, 30))}

    def _generate_examples(self, rows):
        for i in rows:
            png = io.BytesIO()
            Image.fromarray(IMAGES[i]).save(png, "png")
            yield i, {"image": png.getvalue(), "label": CLASSES[i % 3]}


class FoveaNumbers(tfds.core.GeneratorBasedBuilder):
    """No images."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict({"x": np.int64}))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"x": 0}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tfds"))


def test_reads_back_what_was_written(data_dir):
    parts = {split: open_source("tfds:fovea_noise", split, data_dir=data_dir) for split in ("train", "test")}
    assert [len(part) for part in parts.values()] == [24, 6]
    rows = {image.tobytes(): i for i, image in enumerate(IMAGES)}
    for split, part in parts.items():
        whole = part.resident()
        found = [rows[image.tobytes()] for image in whole["image"]]
        assert sorted(found) == list(range(24) if split == "train" else range(24, 30))
        assert whole["label"].tolist() == [i % 3 for i in found]
    info = parts["test"].info
    assert info.classes == CLASSES
    assert info.shape == (6, 5, 3)
    np.testing.assert_allclose(info.mean, (IMAGES[:24] / 255).mean((0, 1, 2)))


def test_slices_and_both_ways_of_reading(data_dir):
    source = open_source("tfds:fovea_noise", "train[:50%]+test", data_dir=data_dir)
    assert len(source) == 18
    arrays = resident_arrays(source)
    iterator = Feed(source, 7).start(4)
    for step in range(4, 7):
        batch = next(iterator)
        ids = Feed(source, 7, resident=True)[step]["id"]
        np.testing.assert_array_equal(batch["image"], arrays["image"][ids])
        np.testing.assert_array_equal(batch["label"], arrays["label"][ids])
    iterator.close()


def test_image_size(data_dir):
    source = open_source("tfds:fovea_noise", "train", data_dir=data_dir, image_size=4, crop="random")
    ids = np.arange(3)
    assert source.info.shape == (4, 4, 3)
    assert source.resident() is None
    crops = [source.fetch(ids, np.stack([np.full(3, 0), np.full(3, epoch)], 1))["image"] for epoch in (0, 0, 1)]
    np.testing.assert_array_equal(crops[0], crops[1])
    assert not np.array_equal(crops[0], crops[2])


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("mnits", "train", "did you mean 'mnist'"),
        ("fashion_mnst", "train", "did you mean 'fashion_mnist'"),
        ("CIFAR10", "train", "did you mean 'cifar10' or 'cifar100'"),
        ("imagnet", "train", "did you mean 'imagenette' or 'imagenet_"),
        ("zzzz", "train", "none has a name like it"),
        ("", "train", "which data set"),
        ("fovea_noise", "trian", "did you mean 'train'"),
        ("fovea_noise/big", "train", "fovea_noise/big"),
        ("fovea_numbers", "train", "has no images of 8 or 16 bits: its features are x"),
    ],
)
def test_errors_name_the_remedy(data_dir, name, split, message):
    with pytest.raises(DataError, match=message) as error:
        open_source(f"tfds:{name}", split, data_dir=data_dir)
    assert "\n" not in str(error.value)


def test_missing_manual_dir(data_dir):
    with pytest.raises(DataError, match=r"no folder data\.manual_dir='absent'"):
        open_source("tfds:mnist", "train", data_dir=data_dir, manual_dir="absent")


def test_no_network_is_said_after_a_few_tries(tmp_path, monkeypatch):
    asked = []

    def nowhere(host, *args, **kwargs):
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    monkeypatch.setattr(Retry, "sleep", lambda *args: None)
    with pytest.raises(DataError, match=r"storage\.googleapis\.com cannot be reached: .* --manual_dir FOLDER") as error:
        open_source("tfds:mnist", "train", data_dir=str(tmp_path))
    assert "\n" not in str(error.value)
    assert len(asked) <= 4 * 5  # files × (one try and four more)


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is installed")
def test_a_set_that_needs_tensorflow_names_the_extra(shared_datasets, tmp_path):
    with pytest.raises(
        DataError, match=r"pip install 'fovea\[tensorflow\]', then python -m data\.prepare --name mnist"
    ):
        open_source("tfds:mnist", "train", data_dir=str(tmp_path), manual_dir=str(shared_datasets / "mnist"))


def test_decoded_once_until_the_files_change(data_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "WORTH_KEEPING", 0.0)
    split = lambda **options: open_source("tfds:fovea_noise", "test", data_dir=data_dir, **options)
    kept = lambda: len(list((tmp_path / "fovea" / "arrays").iterdir()))
    first = split().resident()
    again = split()
    monkeypatch.setattr(again, "fetch", None)  # nothing is decoded
    for name, array in again.resident().items():
        np.testing.assert_array_equal(array, first[name])
    assert kept() == 1
    split(image_size=4).resident()
    assert kept() == 2
    file = next(pathlib.Path(data_dir).rglob("*-test.array_record*"))
    os.utime(file, ns=(1, 1))
    split().resident()
    assert kept() == 3
