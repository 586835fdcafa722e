"""Pictures without classes train what needs none, and what needs them refuses; the first line says what was read."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments.errors import PageError
from experiments.pages.overrides import override
from experiments.pages.schema import page
from experiments.runs.run import build

TRAIN = dict(steps=2, log_every=1, evaluate_every=2, checkpoint_every=2, batch_size=8, evaluate_batch_size=8)
DIFFUSION = dict(name="ddpm_unet", width=8, multipliers=(1,), blocks=1, groups=4, attention=())
GAN = dict(generator=dict(name="gan_generator", hidden=(8,)), discriminator=dict(name="gan_discriminator", hidden=(8,)))
PAGES = {
    "vae": (dict(name="vae", hidden=(8,), latent=2), dict(name="vae"), 0),
    "gan": (GAN, dict(name="gan"), 0),
    "diffusion": (DIFFUSION, dict(name="diffusion", sampling_steps=2, bound_terms=2), 0),
    "conditional diffusion": ({**DIFFUSION, "conditional": True}, dict(name="diffusion"), "label"),
    "classification": (dict(name="mlp", hidden=(8,)), dict(name="classification"), "label"),
    "metric learning": (
        dict(name="embedding", dim=4, backbone=dict(name="mlp", hidden=(8,))),
        dict(name="metric_learning"),
        "label",
    ),
    "segmentation": (dict(name="unet", width=2, depth=1), dict(name="segmentation"), "masks"),
}


@pytest.fixture
def flat(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(16):
        folder = tmp_path / "flat" / ("train" if i < 8 else "test")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(folder / f"{i}.png")
    (tmp_path / "flat" / "train" / "notes.txt").write_text("x")
    return tmp_path / "flat"


def of(flat, model, task):
    scale = {"vae": "unit", "diffusion": "symmetric", "gan": "symmetric"}.get(task["name"], "standardise")
    data = dict(name=f"folder:{flat}", channels=1, train="train", validation="train", test="test", scale=scale)
    return page(
        model=model,
        task=task,
        data=data,
        optimizer=dict(name="adam"),
        schedule=dict(name="constant", peak=1e-3),
        train=TRAIN,
    )


@pytest.mark.parametrize(("model", "task", "missing"), PAGES.values(), ids=PAGES)
def test_pictures_without_classes(flat, tmp_path, capsys, model, task, missing):
    described = of(flat, model, task)
    if missing:
        with pytest.raises(PageError, match=f"task '{task['name']}' needs '{missing}', and folder:.* has image only"):
            build(described, tmp_path / "run")
        return
    summary = build(described, tmp_path / "run").train()
    assert summary["step"] == 2
    printed = capsys.readouterr().err
    assert printed.count(f"folder:{flat}: 16 images, train 8 and test 8; left out 1: 1 .txt\n") == 1
    assert (tmp_path / "run" / "samples").is_dir()


def test_one_class_is_no_class(flat, tmp_path):
    (flat / "train").rename(flat / "cat")
    (flat / "test").rename(flat / "empty")
    for file in (flat / "empty").iterdir():
        file.unlink()
    described = override(of(flat, *PAGES["classification"][:2]), [("data.test", ""), ("data.validation", "")])
    with pytest.raises(PageError, match="has image only: at least two classes are needed"):
        build(described, tmp_path / "run")


def test_data_begins_with_what_was_read(fovea, flat, tmp_path):
    out = fovea(
        *("data", "--config", "vae_mnist", "--out", tmp_path / "batch.png"),
        **{"data.name": f"folder:{flat}", "data.train": "train", "data.validation": "", "data.test": ""},
        **{"train.batch_size": 8},
    ).out
    assert out.splitlines()[0] == f"folder:{flat}: 16 images, train 8 and test 8; left out 1: 1 .txt"
    assert json.dumps(out).count("left out") == 1
