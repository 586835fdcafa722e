"""From the command line: an image is completed, and a prior is trained over the codes of a VQ-VAE that was."""

import numpy as np
import pytest
from PIL import Image

from data import open_source

DIGITS = {
    "data.name": "digits",
    "data.train": "train[:64]",
    "data.validation": "",
    "data.test": "test[:16]",
    "train.batch_size": 16,
    "train.evaluate_batch_size": 16,
    "train.steps": 2,
    "train.log_every": 1,
    "train.evaluate_every": 2,
    "train.checkpoint_every": 2,
    "train.samples": 8,
}


@pytest.fixture
def upper_half(tmp_path):
    """(a picture of a digit in black and white, its pixels [8, 8, 1] in {0, 255})."""
    pixels = open_source("digits", "test").fetch(np.arange(1))["image"][0] // 128 * 255
    Image.fromarray(pixels[..., 0]).save(tmp_path / "digit.png")
    return tmp_path / "digit.png", pixels


def test_the_lower_part_of_an_image_is_drawn(fovea, tmp_path, upper_half):
    file, pixels = upper_half
    page = ("--config", "made_binarized_mnist", "--workdir", tmp_path / "run")
    binary = {"data.augment": ("binarise",), "data.evaluate_augment": ("binarise",), "data.scale": "unit"}
    result = fovea("train", *page, **{**DIGITS, **binary, "model.hidden": (16,)})
    assert result.code == 0, result.error
    assert "test/nll" in result.out and "test/bits_per_dim" in result.out

    sample = ("sample", "--workdir", tmp_path / "run", "--num", 6, "--out", tmp_path / "samples.npz")
    result = fovea(*sample, "--given", f"image={file}", "--set", "keep=0.25", "--set", "temperature=0.8")
    assert result.code == 0, result.error
    images = np.load(tmp_path / "samples.npz")["image"]
    assert images.shape == (6, 8, 8, 1) and set(np.unique(images)) == {0, 1}
    np.testing.assert_array_equal(images[:, :2], np.broadcast_to(pixels[:2] // 255, (6, 2, 8, 1)))
    assert np.any(images[:, 2:] != pixels[2:] // 255)

    for options, message in (
        (("--set", "keep=2"), "keep=2.0 is not a share between 0 and 1"),
        (("--set", "temperature=0"), "temperature=0.0 is not above 0"),
        (("--given", "label=3"), "the task has no condition 'label'"),
    ):
        result = fovea(*sample, *options)
        assert result.code == 2 and message in result.error


def test_a_prior_is_trained_over_the_codes_of_a_run(fovea, tmp_path):
    small = dict(width=4, depth=1, inner=2, dim=3, entries=8)
    first = {f"model.{key}": value for key, value in small.items()}
    result = fovea("train", "--config", "vqvae_cifar10", "--workdir", tmp_path / "vq", **{**DIGITS, **first})
    assert result.code == 0, result.error
    assert "test/perplexity" in result.out

    second = {f"frozen.codec.{key}": value for key, value in small.items()} | {"frozen.codec.weights": tmp_path / "vq"}
    prior = {"width": 4, "depth": 2, "first": 3, "hidden": 4, "outputs": 8, "embedding": 3}
    second |= {f"model.{key}": value for key, value in prior.items()}
    page = ("--config", "vqvae_prior_cifar10", "--workdir", tmp_path / "prior")
    result = fovea("train", *page, **{**DIGITS, **second})
    assert result.code == 0, result.error
    assert "test/nll" in result.out
    sample = ("sample", "--workdir", tmp_path / "prior", "--num", 4, "--given", "label=7")
    result = fovea(*sample, "--out", tmp_path / "samples.png")
    assert result.code == 0, result.error
    assert Image.open(tmp_path / "samples.png").size[0] > 100

    result = fovea("train", *page[:2], "--workdir", tmp_path / "other", **{**DIGITS, **second, "frozen.codec.width": 8})
    assert result.code == 2 and "the run was trained with model.width=4, not 8" in result.error
