"""A page of segmentation by the same commands as any other: train, resume, evaluate, predict."""

import shutil

import numpy as np
import pytest
from PIL import Image

from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from experiments.runs.run import build
from training.checkpoint import Checkpoints
from training.views import palette

TINY = {
    "model.width": 2,
    "model.depth": 1,
    "data.size": 32,
    "data.num_train": 32,
    "data.num_validation": 8,
    "data.num_test": 9,
    "data.augment": "flip",
    "train.batch_size": 8,
    "train.steps": 4,
    "train.log_every": 2,
    "train.evaluate_every": 2,
    "train.checkpoint_every": 2,
    "train.evaluate_batch_size": 8,
}


@pytest.fixture(scope="module")
def page():
    return override(load("unet_scenes"), [(key, str(value)) for key, value in TINY.items()])


@pytest.fixture(scope="module")
def trained(page, tmp_path_factory):
    run = build(page, tmp_path_factory.mktemp("unet"))
    return run, run.train()


def test_it_trains_and_is_judged_by_the_whole_set(trained):
    run, summary = trained
    numbers = run.evaluate("test")
    assert summary["test/mean_iou"] == pytest.approx(numbers["mean_iou"])
    assert numbers["confusion"].sum() == 9 * 32 * 32 and len(numbers["iou"]) == 11
    predicted = run.predict(run.parts.source("test").resident()["image"])["prediction"]
    right = predicted == run.parts.source("test").resident()["masks"]
    assert right.mean() == pytest.approx(numbers["pixel_accuracy"])
    assert Checkpoints(run.workdir / "checkpoints").best() in (2, 4)
    assert {"curves", "confusion", "predictions"} <= {path.stem for path in run.workdir.rglob("*.png")}


def test_resumed_is_never_stopped(page, trained, tmp_path):
    shutil.copytree(trained[0].workdir, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "4")
    build(page, tmp_path / "run").train()
    again, once = (Checkpoints(path / "checkpoints").arrays(4) for path in (tmp_path / "run", trained[0].workdir))
    assert again.keys() == once.keys()
    for name in once:
        np.testing.assert_array_equal(again[name], once[name])


def test_predict_writes_overlays_and_masks_of_images_of_any_size(fovea, trained, tmp_path):
    run, _ = trained
    images = run.parts.source("test").fetch(np.arange(2))["image"]
    Image.fromarray(images[0]).save(tmp_path / "known.png")
    Image.fromarray(np.concatenate([images[1], images[0][:, :25]], 1)).save(tmp_path / "wide.png")
    files = [tmp_path / "known.png", tmp_path / "wide.png"]
    result = fovea("predict", "--workdir", run.workdir, "--out", tmp_path / "out", *files)
    assert result.code == 0, result.error
    assert all("%" in line for line in result.out.splitlines()) and len(result.out.splitlines()) == 2
    mask = np.asarray(Image.open(tmp_path / "out" / "known_prediction_mask.png"))
    np.testing.assert_array_equal(mask, run.predict(images[:1])["prediction"][0])
    files_of = {"mask": "wide_prediction_mask.png", "overlay": "wide_predicted.png"}
    wide = {name: np.asarray(Image.open(tmp_path / "out" / file)) for name, file in files_of.items()}
    assert wide["mask"].shape == (32, 57) and wide["overlay"].shape == (32, 57, 3)
    some = wide["mask"] > 0
    blend = (np.asarray(Image.open(files[1])).astype(int) + palette(11)[wide["mask"]]) / 2
    assert abs(wide["overlay"] - blend)[some].max(initial=0) <= 1
