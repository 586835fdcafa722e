"""`fovea features`: what the head reads, and probes on it."""

import numpy as np
import pytest
from PIL import Image

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
    ],
)
def test_bad_input_is_one_line(words, line, trained, fovea, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("x.png")
    np.savez("x.npz", a=np.zeros(1))
    np.savez("f.npz", features=np.zeros((1, 128)), label=np.zeros(1, int), classes=np.array(["a"]))
    result = fovea("features", "--workdir", trained, *words)
    assert (result.code, result.out) == (2, "")
    assert result.error.startswith(f"fovea: {line}") and result.error.count("\n") == 1
