"""`fovea features`: what the head reads, and probes on it."""

import numpy as np
import pytest
from PIL import Image

from experiments.commands.features import probed
from experiments.errors import PageError
from experiments.evaluation.probe import linear_probe, nearest
from experiments.pages.stored import read_page
from experiments.runs.run import build


def test_the_head_gives_the_logits_of_the_features(trained, fovea, tmp_path):
    result = fovea("features", "--workdir", trained, "--split", "test[:50]", "--out", tmp_path / "f.npz")
    assert (result.code, result.out) == (0, f"{tmp_path / 'f.npz'}: 50 × {128}\n")
    with np.load(tmp_path / "f.npz") as found:
        features, labels, classes = found["features"], found["label"], found["classes"]
    run = build(read_page(trained), trained)
    batch = run.parts.source("test[:50]").fetch(np.arange(50))
    np.testing.assert_array_equal(labels, batch["label"])
    assert list(classes) == list(run.parts.info.classes)
    params = run.restore()[0].params["model"]
    (head,) = (params[name] for name in params if params[name]["kernel"].shape[-1] == 10)
    expected = run.predict(batch["image"])["logits"]
    np.testing.assert_allclose(features @ head["kernel"] + head["bias"], expected, rtol=1e-4, atol=1e-4)


def test_folders_of_pictures_are_classes_and_the_probes_learn(trained, fovea, tmp_path):
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for name, level in (("dark", 40), ("light", 200)):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(12):
                pixels = random.integers(level - 30, level + 30, (8, 8)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{i}.png")
    words = ("features", "--workdir", trained, "--out")
    assert fovea(*words, tmp_path / "train.npz", tmp_path / "train").code == 0
    more = ("--probe", tmp_path / "train.npz", "--k", 3, tmp_path / "test")
    result = fovea(*words, tmp_path / "test.npz", *more)
    assert result.code == 0
    assert result.out.splitlines()[1:] == ["linear probe: 100.00 %", "3 nearest: 100.00 %"]
    with np.load(tmp_path / "test.npz") as found:
        assert list(found["classes"]) == ["dark", "light"] and found["label"].sum() == 12
        assert found["name"][0].endswith("0.png")


def test_neighbours_vote_by_their_similarity():
    train = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1.0], [0, 1]])
    labels = np.array([0, 0, 1, 1, 1])
    test = np.array([[2, 0.1], [0, 3]])
    np.testing.assert_array_equal(nearest(train, labels, test, k=1), [0, 1])
    np.testing.assert_array_equal(nearest(train, labels, test, k=5), [0, 1])  # the near ones outweigh the many
    np.testing.assert_array_equal(nearest(train, labels, test, k=5, temperature=100.0), [1, 1])
    np.testing.assert_array_equal(linear_probe(train, labels, test), [0, 1])


def test_a_name_without_a_suffix_gets_that_of_the_file(trained, fovea, tmp_path):
    result = fovea("features", "--workdir", trained, "--split", "test[:5]", "--out", tmp_path / "feats")
    assert (result.code, result.out) == (0, f"{tmp_path / 'feats.npz'}: 5 × {128}\n")
    assert (tmp_path / "feats.npz").is_file()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"label": np.zeros(4, int)}, "its features are of fewer than two classes"),
        ({"there": np.full(4, -1)}, "none of the examples here has a label"),
        ({"values": np.full((4, 3), np.inf)}, "some features here are not finite"),
    ],
)
def test_what_a_probe_needs_is_named_where_it_lacks(change, line):
    features, classes = np.random.default_rng(0).standard_normal((4, 3)), np.array(["a", "b"])
    train = {"features": features, "label": change.get("label", np.arange(4) % 2), "classes": classes}
    test = {"features": change.get("values", features), "label": change.get("there", np.arange(4) % 2)}
    with pytest.raises(PageError, match=line):
        probed(train, test | {"classes": classes}, 1)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "name pictures, or a split of the run's data by --split"),
        (("--split", "test", "x.png"), "name pictures, or a split of the run's data by --split"),
        (("y.png",), "there is no image y.png"),
        (("--split", "tset"), "no split 'tset'"),
        (("--split", "test[:5]", "--probe", "nowhere.npz"), "--probe nowhere.npz:"),
        (("--split", "test[:5]", "--probe", "x.npz"), "--probe x.npz: it has no features with labels"),
        (("--probe", "f.npz", "x.png"), "--probe: these pictures have no classes"),
        (("--split", "test[:5]", "--probe", "flat.npz"), "--probe flat.npz: features [N, D], label [N] and classes"),
        (("--split", "test[:5]", "--probe", "nan.npz"), "--probe nan.npz: some features are not finite"),
    ],
)
def test_bad_input_is_one_line(words, line, trained, fovea, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("x.png")
    np.savez("x.npz", a=np.zeros(1))
    np.savez("f.npz", features=np.zeros((1, 128)), label=np.zeros(1, int), classes=np.array(["a"]))
    both = dict(label=np.arange(2), classes=np.array(["a", "b"]))
    np.savez("flat.npz", features=np.zeros(2), **both)
    np.savez("nan.npz", features=np.full((2, 128), np.nan), **both)
    result = fovea("features", "--workdir", trained, *words)
    assert (result.code, result.out) == (2, "")
    assert result.error.startswith(f"fovea: {line}") and result.error.count("\n") == 1
