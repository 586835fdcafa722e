"""A run remembers its data: it answers without them, by the names that were trained, and says what has changed."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from experiments.build.memory import recall
from experiments.errors import PageError
from experiments.pages import override, page
from experiments.runs.run import build

TRAIN = dict(batch_size=8, steps=2, log_every=2, evaluate_every=2, checkpoint_every=2, evaluate_batch_size=8)


def classes(root, *names, count=10):
    """A folder of grey squares, a sub-folder for each class."""
    for shade, name in enumerate(names, 1):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(np.full((8, 8, 3), 40 * shade + i, np.uint8)).save(root / name / f"{i}.png")
    return root


def config(root, **sections):
    """A page on a folder that is split by fractions."""
    return page(
        **{
            "model": dict(name="mlp", hidden=(4,)),
            "task": dict(name="classification"),
            "optimizer": dict(name="sgd"),
            "schedule": dict(name="constant", peak=0.01),
            **sections,
            "data": dict(
                name=f"folder:{root}",
                train="train[:60%]",
                validation="train[60%:80%]",
                test="train[80%:]",
                **sections.get("data", {}),
            ),
            "train": {**TRAIN, **sections.get("train", {})},
        }
    )


@pytest.fixture
def trained(tmp_path):
    """(root of the data, work directory) of a run of two steps."""
    root = classes(tmp_path / "set", "ant", "bee", "cat")
    build(config(root), tmp_path / "run").train(quiet=True)
    return root, tmp_path / "run"


def test_the_classes_their_order_the_normalisation_and_a_digest_of_each_set_are_stored(trained):
    root, workdir = trained
    stored = json.loads((workdir / "data.json").read_text())
    info = build(config(root)).parts.info
    assert stored["info"]["fields"]["label"]["names"] == ["ant", "bee", "cat"]
    assert (tuple(stored["info"]["mean"]), tuple(stored["info"]["std"])) == (info.mean, info.std)
    assert {name: one["examples"] for name, one in stored["sets"].items()} == {"train": 18, "validation": 6, "test": 6}
    assert len({one["digest"] for one in stored["sets"].values()}) == 3
    assert recall(workdir).info == info


def test_predict_needs_no_training_set(trained, fovea, tmp_path):
    root, workdir = trained
    picture = tmp_path / "new.png"
    shutil.copy(root / "bee" / "3.png", picture)
    before = fovea("predict", "--workdir", workdir, "--json", "-", picture)
    shutil.rmtree(root)
    after = fovea("predict", "--workdir", workdir, "--json", "-", picture)
    assert before.code == after.code == 0 and before.out == after.out


def test_sample_needs_no_training_set(tmp_path, fovea):
    root = classes(tmp_path / "set", "ant", "bee")
    sections = dict(model=dict(name="vae", hidden=(4,), latent=2), task=dict(name="vae"), data=dict(scale="unit"))
    build(config(root, **sections), tmp_path / "run").train(quiet=True)
    shutil.rmtree(root)
    found = fovea("sample", "--workdir", tmp_path / "run", "--num", 4, "--out", tmp_path / "made.png")
    assert found.code == 0, found.error
    assert (tmp_path / "made.png").exists()


def test_answers_have_the_names_that_were_trained(trained, fovea):
    root, workdir = trained
    picture = root.parent / "new.png"
    shutil.copy(root / "ant" / "0.png", picture)
    before = fovea("predict", "--workdir", workdir, picture)
    (root / "ant").rename(root / "zebra")  # the others would move up by one
    assert fovea("predict", "--workdir", workdir, picture).out == before.out


def test_mean_and_std_are_not_measured_again(trained):
    root, workdir = trained
    mean = recall(workdir).info.mean
    for file in root.rglob("*.png"):
        Image.fromarray(np.full((8, 8, 3), 255, np.uint8)).save(file)
    run = build(config(root), workdir)
    assert run.parts.source("test").info.mean == run.parts.source("train").info.mean == run.parts.info.mean == mean
    assert build(config(root)).parts.info.mean == pytest.approx((1, 1, 1))


@pytest.mark.parametrize("act", [lambda run: run.train(quiet=True), lambda run: run.evaluate("test")])
@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("ape", "3 names of 'label', 3 in training: 'ape' is not among those of training"),
        (None, "2 names of 'label', 3 in training: 'bee' of training is missing"),
    ],
)
def test_renamed_classes_are_refused_with_the_first_difference(trained, act, new, message):
    root, workdir = trained
    shutil.rmtree(root / "bee") if new is None else (root / "bee").rename(root / new)
    with pytest.raises(PageError, match=message):
        act(build(config(root), workdir))


def resumable(root):
    return config(root, train=dict(steps=4))


def forget_the_end(workdir):
    """The page of the run says four steps, of which two are done."""
    stored = json.loads((workdir / "config.json").read_text())
    stored["train"]["steps"] = 4
    (workdir / "config.json").write_text(json.dumps(stored))


def add_files(root, count=3):
    for i in range(count):
        Image.fromarray(np.full((8, 8, 3), 7 + i, np.uint8)).save(root / "bee" / f"new{i}.png")


def test_examples_do_not_move_from_training_to_test_unsaid_when_files_are_added(trained):
    root, workdir = trained
    forget_the_end(workdir)
    add_files(root)
    with pytest.raises(PageError, match=r"\d+ of the \d+ examples of 'test' have been trained on"):
        build(resumable(root), workdir).evaluate("test")
    with pytest.raises(PageError, match=r"have been trained on|would be trained on"):
        build(resumable(root), workdir).train(quiet=True)
    assert build(resumable(root), workdir).evaluate("train[80%:]")["accuracy"] >= 0, "asked for by name"
    for file in root.rglob("new*.png"):
        file.unlink()
    assert build(resumable(root), workdir).train(quiet=True)["steps"] == 4, "nothing is lost"


def test_resume_on_more_training_data_says_so(tmp_path, capsys):
    root = tmp_path / "set"
    for split in ("train", "test"):
        classes(root / split, "ant", "bee")
    data = dict(name=f"folder:{root}", train="train", validation="", test="test")
    of = lambda steps: page(
        model=dict(name="mlp", hidden=(4,)),
        task=dict(name="classification"),
        data=data,
        optimizer=dict(name="sgd"),
        schedule=dict(name="constant"),
        train={**TRAIN, "steps": steps},
    )
    build(of(2), tmp_path / "run").train(quiet=True)
    forget_the_end(tmp_path / "run")
    add_files(root / "train", 5)
    (root / "train" / "ant" / "0.png").unlink()
    capsys.readouterr()
    build(of(4), tmp_path / "run").train(quiet=True)
    line = "fovea: the data have changed since the run began: 'train' has 5 examples more and 1 fewer\n"
    assert line in capsys.readouterr().err
    assert len(recall(tmp_path / "run").members["train"]) == 25, "of all starts: what was removed has been trained on"


def test_a_moved_folder_is_the_same_data(trained):
    root, workdir = trained
    moved = root.rename(root.with_name("elsewhere"))
    run = build(config(moved), workdir)
    run.evaluate("test")
    np.testing.assert_array_equal(run.parts.members("test"), recall(workdir).members["test"])


def test_other_options_of_the_data_open_them_again(trained):
    root, workdir = trained
    config_of_another_size = config(root, data=dict(image_size=4))
    assert build(config_of_another_size, workdir).parts.info.shape == (4, 4, 3)
    assert build(config(root), workdir).parts.info.shape == (8, 8, 3)


def test_a_fork_begins_another_memory(trained):
    root, workdir = trained
    add_files(root)
    forked = config(root, train=dict(steps=4))
    build(forked, workdir, fork=True).train(quiet=True)
    assert sum(len(x) for x in recall(workdir).members.values()) == 33


def test_a_set_of_another_folder_may_have_files_of_the_same_names(tmp_path):
    root, other = classes(tmp_path / "set", "ant", "bee"), classes(tmp_path / "other", "ant", "bee", count=4)
    more = dict(evaluate=dict(other=dict(name=f"folder:{other}", split="train")))
    build(config(root, **more), tmp_path / "run").train(quiet=True)
    classes(other, "ant", "bee", count=10)
    assert build(config(root, **more), tmp_path / "run").evaluate("other")["accuracy"] >= 0


def test_data_that_are_not_readable_are_one_line(trained, fovea):
    _, workdir = trained
    (workdir / "data.json").write_text("{}")
    result = fovea("eval", "--workdir", workdir)
    assert result.code == 2 and "data.json is not readable" in result.error and result.error.count("\n") == 1


def test_changed_data_are_one_line_and_nothing_is_lost(trained, fovea):
    root, workdir = trained
    kept = {path.name: path.read_bytes() for path in workdir.iterdir() if path.is_file() and path.name != "lock"}
    add_files(root)
    for command in (("eval", "--workdir", workdir), ("eval", "--workdir", workdir, "--split", "validation")):
        result = fovea(*command)
        assert result.code == 2 and "the data have changed" in result.error and result.error.count("\n") == 1
    assert {name: (workdir / name).read_bytes() for name in kept} == kept and not (workdir / "eval.json").exists()


def test_an_evaluation_set_that_is_trained_on_is_said_at_the_start(tmp_path, capsys):
    root = classes(tmp_path / "set", "ant", "bee", "cat")
    run = override(config(root), [("data.train", "train")])
    build(run, tmp_path / "run").train(quiet=True)
    count = {name: build(run).parts.members(name).size for name in ("validation", "test")}
    lines = [f"fovea: {n} of the {n} examples of {name!r} are also trained on\n" for name, n in count.items()]
    said = capsys.readouterr().err
    assert len(lines) == 2 and all(line in said for line in lines)


def test_disjoint_sets_begin_without_a_word(tmp_path, capsys):
    root = classes(tmp_path / "set", "ant", "bee", "cat")
    build(config(root), tmp_path / "run").train(quiet=True)
    assert "also trained on" not in capsys.readouterr().err
