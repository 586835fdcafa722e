"""A new network is one file and one line of the table; it then trains alone and serves inside another network."""

import jax
import numpy as np
import pytest

import models
from experiments.pages import page
from experiments.runs.run import build

NETWORK = """
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp


class Small(nn.Module):
    conditions: ClassVar[tuple[str, ...]] = ()

    width: int = 4
    num_classes: int = 10
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        types = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        x = stem = nn.relu(nn.Conv(self.width, (3, 3), name="conv", **types)(x))
        x = x.mean((1, 2))
        if not self.num_classes:
            return {"stem": stem, "pre_logits": x}
        return nn.Dense(self.num_classes, name="output", **types)(x)
"""


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    (tmp_path / "small_of_a_test.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(models.MODELS, "small", "small_of_a_test:Small")


def trained(workdir, **sections):
    """(parameters before, after) two steps on digits."""
    config = page(
        optimizer=dict(name="sgd"),
        schedule=dict(name="constant", peak=0.1),
        train=dict(batch_size=16, steps=2, log_every=1, evaluate_every=2, checkpoint_every=2, evaluate_batch_size=16),
        **sections,
    )
    run = build(config, workdir)
    before = run.parts.initial_state().params["model"]
    run.train(quiet=True)
    return before, run.restore()[0].params["model"]


def test_a_network_of_one_file_and_one_line_trains_as_a_classifier_and_as_a_backbone(tmp_path):
    data = dict(name="digits", train="train[:64]", test="test[:16]")
    before, after = trained(tmp_path / "alone", model=dict(name="small"), task=dict(name="classification"), data=data)
    inside = dict(name="embedding", dim=4, backbone=dict(name="small", width=6))
    data["sampler"] = "pk(4, 4)"
    outer = trained(tmp_path / "inside", model=inside, task=dict(name="metric_learning", margin=1.0), data=data)
    assert before.keys() == {"conv", "output"} and outer[0]["backbone"].keys() == {"conv"}
    assert outer[0]["backbone"]["conv"]["kernel"].shape == (3, 3, 1, 6)
    for old, new in ((before, after), (outer[0]["backbone"], outer[1]["backbone"])):
        assert not any(np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (old, new)), strict=True))


def test_a_network_whose_parameters_depend_on_the_image_size_trains_on_crops(tmp_path):
    """A ViT has a position for each patch of the crop, not of the image that the data have."""
    vit = dict(name="vit", patch=2, width=8, depth=1, heads=2, mlp=8)
    data = dict(name="digits", train="train[:64]", test="", augment=("random_crop(6)",))
    before, after = trained(tmp_path, model=vit, task=dict(name="classification"), data=data)
    assert before["positions"].shape == (1, 1 + 3 * 3, 8)
    assert not np.array_equal(before["positions"], after["positions"])
