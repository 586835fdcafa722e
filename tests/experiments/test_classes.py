"""Whose classes a network learns: those of the kind that its task answers with, or a line that says what to set."""

import numpy as np
import pytest

from data.fields import Field
from data.source import ArraySource, Info
from experiments.build import sets
from experiments.build.parts import Parts
from experiments.errors import PageError
from experiments.pages.catalogue import load
from experiments.pages.overrides import override


@pytest.fixture
def pets(monkeypatch):
    """A source of pictures with a class of five each, and a mask of two classes."""
    fields = {
        "image": Field("image", (32, 32, 3), "uint8"),
        "label": Field("label", (), "int32", tuple("abcde")),
        "masks": Field("mask", (32, 32), "int16", ("animal", "ground")),
    }
    arrays = {name: np.zeros((8, *field.shape), field.dtype) for name, field in fields.items()}
    monkeypatch.setattr(sets, "open_source", lambda *_, **__: ArraySource(arrays, Info(fields, (0.5,) * 3, (0.2,) * 3)))


def parts(page, **overrides):
    return Parts(override(load(page), [(key, value) for key, value in {"data.augment": "", **overrides}.items()]))


def test_a_task_that_answers_with_other_classes_is_refused(pets):
    found = parts("unet_scenes")
    with pytest.raises(
        PageError, match=r"answers with the classes of 'masks', .* 5 others: set data.classes_of='masks'"
    ):
        _ = found.task
    assert parts("resnet20_cifar10").task.metrics["confusion"]


def test_a_page_says_whose_classes_are_learned(pets):
    found = parts("unet_scenes", **{"data.classes_of": "masks"})
    assert found.info.classes == ("animal", "ground") and found.networks["model"].num_classes == 2
    assert found.task.needs == ("masks",)


def test_a_field_without_classes_is_refused_with_the_near_one(pets):
    with pytest.raises(ValueError, match="no field with classes 'mask': did you mean 'masks'"):
        _ = parts("unet_scenes", **{"data.classes_of": "mask"}).info


@pytest.mark.parametrize(
    ("page", "missing"),
    [("unet_scenes", "masks"), ("centernet_scenes", "boxes"), ("cyclegan_tinted_digits", "other")],
)
def test_data_without_what_the_loss_reads_are_one_line(page, missing, monkeypatch):
    fields = {"image": Field("image", (32, 32, 3), "uint8"), "label": Field("label", (), "int32", ("a", "b"))}
    arrays = {name: np.zeros((8, *field.shape), field.dtype) for name, field in fields.items()}
    monkeypatch.setattr(sets, "open_source", lambda *_, **__: ArraySource(arrays, Info(fields, (0.5,) * 3, (0.2,) * 3)))
    with pytest.raises(PageError, match=f"needs '{missing}', and .* has image, label only"):
        _ = parts(page).task
