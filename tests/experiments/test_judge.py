"""The Fréchet Inception distance: pytorch-fid's features from the user's weights, and files that do not hold them."""

import pickle
import zipfile

import numpy as np
import pytest

from experiments.errors import PageError
from experiments.evaluation.feature_networks import Inception
from experiments.pages import page
from experiments.runs.run import build
from tests.goldens.make_classification import seeded_weights
from tests.models.parity import golden

FIRST = "Conv2d_1a_3x3.conv.weight"


def test_features_are_those_of_pytorch_fid(tmp_path):
    names, expected = golden("inception_v3_fid"), golden("inception_v3_features")
    shapes = {k: tuple(map(int, s.split())) for k, s in zip(names["names"], names["shapes"], strict=True)}
    shapes |= {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    weights = {k: 2 * x if k.endswith("bn.weight") else x for k, x in seeded_weights(shapes).items()}
    path = tmp_path / "inception.npz"
    np.savez(path, **weights, **{"Conv2d_1a_3x3.bn.num_batches_tracked": np.array(0)})  # as the file has them

    network = Inception(str(path), (28, 33, 1))
    path.unlink()
    assert network.name.startswith("inception_v3-") and len(network.name) == len("inception_v3-") + 8
    found = network.features(expected["images"])
    scale = np.abs(expected["features"][0] - expected["features"][1]).max()
    np.testing.assert_allclose(found, expected["features"], atol=1e-3 * scale)


def test_resizes_as_pytorch_fid():
    expected = golden("inception_v3_features")
    seen = Inception.prepare(expected["images"])
    assert seen.shape == (2, 299, 299, 3) and (seen[..., :1] == seen).all()
    np.testing.assert_allclose(seen[:, ::13, ::13, 0], 2 * expected["resized"] - 1, atol=1e-5)


def write(path, what):
    if what == "pickle":
        path.write_bytes(pickle.dumps({FIRST: np.zeros(3)}))
    elif what == "torch":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({}))
    elif what == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif what == "objects":
        np.savez(path, **{FIRST: np.array([None])})
    elif what == "empty":
        path.touch()
    elif what is not None:
        np.savez(path, **what)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (None, "there is no file"),
        ("pickle", "it is not an .npz of arrays"),
        ("torch", "it is a zip, but not an .npz of arrays"),
        ("array", "it is not an .npz of arrays"),
        ("objects", "it is not an .npz of arrays"),
        ("empty", "it is not an .npz of arrays"),
        ({FIRST: np.zeros((32, 3, 5, 5))}, rf"{FIRST} is \(32, 3, 5, 5\), but .* needs \(32, 3, 3, 3\)"),
        ({FIRST: np.zeros((32, 3, 3, 3))}, r"no tensor Conv2d_1a_3x3\.bn\.\w+ for .* \(and 470 more\)"),
        ({"features.0.weight": np.zeros(3)}, r"no place for features\.0\.weight \(and 472 more\)"),
    ],
)
def test_a_file_without_the_weights_is_one_clear_line(what, message, tmp_path):
    path = tmp_path / "weights.npz"
    write(path, what)
    with pytest.raises(PageError, match=message) as error:
        Inception(str(path), (28, 28, 1))
    assert str(error.value).startswith(f"train.judge='inception:{path}'") and "\n" not in str(error.value)


def test_what_is_no_image_is_refused():
    with pytest.raises(PageError, match=r"images of 1 or 3 channels, not at \(1, 1, 2\)"):
        Inception("inception.npz", (1, 1, 2))


def test_a_fid_is_named_so_and_counts_no_classes(tmp_path, monkeypatch):
    """With the first pixels for features: what the network would see is tested above."""
    monkeypatch.setattr(Inception, "__init__", lambda self, file, shape: setattr(self, "name", f"{file} {shape}"))
    monkeypatch.setattr(Inception, "features", lambda self, images: images.reshape(len(images), -1)[:, 20:28])
    config = page(
        model=dict(name="vae", hidden=(8,), latent=2),
        task=dict(name="vae"),
        data=dict(name="digits", train="train[:100]", test="test[:50]", scale="unit"),
        optimizer=dict(name="adam"),
        schedule=dict(name="constant"),
        train=dict(judge="inception:its/weights.npz", judge_samples=40, batch_size=16, evaluate_batch_size=40),
    )
    run = build(config, tmp_path)
    numbers = run._measure(run.devices.put_state(run.parts.initial_state()), "test")
    assert numbers["judge"] == "its/weights.npz (8, 8, 1)"
    assert numbers["fid"] > numbers["fid_floor"] > 0
    assert not {"fd", "fd_floor", "covered", "recognised"} & numbers.keys()
