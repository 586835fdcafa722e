"""A new task is one file and one line of the table; `fovea sample` asks it for words by what it declares."""

import numpy as np
import pytest

from experiments.pages import page
from experiments.runs.run import build
from training.tasks import TASKS

TASK = """
import dataclasses

import jax.numpy as jnp

from training.task import Condition, Makes
from training.tasks.classification import classification


def draw(params, stats, key, condition, frozen, *, length=3, first=0):
    words = first + condition["label"][:, None] + jnp.arange(length)
    return {"tokens": jnp.where(condition["image"].max((1, 2, 3))[:, None] > 0, words, -1)}


def speaking(networks, *, label_smoothing=0.0):
    given = {"label": Condition("label"), "image": Condition("image", required=True)}
    makes = Makes(draw, "tokens", given, {"length": 3, "first": 0})
    return dataclasses.replace(classification(networks), makes=makes)


def placed(params, stats, key, condition, frozen):
    boxes = condition["id"][:, None, None] + jnp.array([[0, 0, 4, 4], [0, 0, 2, 2]])
    row = jnp.ones_like(condition["id"])[:, None]
    return {"boxes": boxes, "labels": row * jnp.array([1, 2]), "scores": row * jnp.array([0.5, 0.25])}


def placing(networks, *, label_smoothing=0.0):
    return dataclasses.replace(classification(networks), makes=Makes(placed, "boxes"))
"""


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """trained(name) -> the work directory of a run of such a task."""
    (tmp_path / "tasks_of_a_test.py").write_text(TASK)
    monkeypatch.syspath_prepend(tmp_path)

    def train(name):
        monkeypatch.setitem(TASKS, name, f"tasks_of_a_test:{name}")
        config = page(
            model=dict(name="mlp", hidden=(4,)),
            task=dict(name=name),
            data=dict(name="digits", train="train[:32]", test=""),
            optimizer=dict(name="sgd"),
            schedule=dict(name="constant"),
            train=dict(batch_size=16, steps=1, log_every=1, evaluate_every=1, checkpoint_every=1),
        )
        build(config, tmp_path / "run").train(quiet=True)
        return tmp_path / "run"

    return train


def test_boxes_are_sampled_with_their_labels_and_scores(fovea, trained, tmp_path):
    result = fovea("sample", "--workdir", trained("placing"), "--num", 2, "--out", tmp_path / "boxes.npz")
    assert (result.code, result.error) == (0, "")
    made = dict(np.load(tmp_path / "boxes.npz"))
    np.testing.assert_array_equal(made.pop("boxes"), [[[0, 0, 4, 4], [0, 0, 2, 2]], [[1, 1, 5, 5], [1, 1, 3, 3]]])
    assert {name: x.tolist() for name, x in made.items()} == {"labels": [[1, 2]] * 2, "scores": [[0.5, 0.25]] * 2}


def test_a_task_that_makes_words_is_sampled_without_a_flag_of_its_own(fovea, trained, tmp_path):
    """The image, which it requires and nobody gives, is of the data."""
    command = (
        "sample",
        "--workdir",
        trained("speaking"),
        "--num",
        2,
        "--out",
        tmp_path / "words.png",
        "--given",
        "label=3",
    )
    result = fovea(*command, "--set", "length=4", "--set", "first=10")
    assert (result.code, result.error) == (0, "")
    assert result.out.endswith(f"{tmp_path / 'words.npz'}\n")
    np.testing.assert_array_equal(np.load(tmp_path / "words.npz")["tokens"], [[13, 14, 15, 16]] * 2)
    result = fovea(*command, "--set", "lenght=4")
    assert (result.code, result.error.count("\n")) == (2, 1) and "did you mean 'length'" in result.error
