"""Judges: the Fréchet Inception distance from the user's weights, and classifiers that match classes by their names."""

import dataclasses
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from experiments.errors import PageError
from experiments.evaluation.feature_networks import Inception, Trained, places
from experiments.evaluation.samples import SampleQuality
from experiments.pages import override, page
from experiments.runs.run import build
from tests.goldens.make_classification import seeded_weights
from tests.models.parity import golden
from training import samples
from training.errors import TrainingError

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
    monkeypatch.setattr(Inception, "width", 8, raising=False)
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


def classifier(root, workdir, *names):
    """The work directory of an MLP that was trained on squares whose shade is their class."""
    for name in names:
        (root / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(np.full((4, 4), SHADES[name] + i, np.uint8)).save(root / name / f"{i}.png")
    build(on_folder(root, model=dict(name="mlp", hidden=(4,))), workdir).train(quiet=True)
    return str(workdir)


SHADES = {"dark": 10, "grey": 100, "white": 240}


def on_folder(root, **sections):
    given = dict(
        task=dict(name="classification"),
        data=dict(name=f"folder:{root}", train="train", validation="", test="train", channels=1, scale="unit"),
        optimizer=dict(name="adam"),
        schedule=dict(name="constant", peak=0.05),
        train=dict(batch_size=16, steps=60, log_every=60, evaluate_every=60, checkpoint_every=60),
    )
    return page(**{name: {**given.get(name, {}), **sections.get(name, {})} for name in {**given, **sections}})


@pytest.fixture
def named(tmp_path):
    """A judge of the classes dark, grey and white, which their folders name in this order."""
    return classifier(tmp_path / "judges", tmp_path / "judge", "dark", "grey", "white")


def run_on(classes, tmp_path, judge, **train):
    for name in classes:
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / "set" / name / f"{i}.png")
    vae = dict(model=dict(name="vae", hidden=(4,), latent=2), task=dict(name="vae"))
    return build(on_folder(tmp_path / "set", **vae, train=dict(judge=judge, judge_samples=12, **train)))


def test_the_judge_matches_classes_by_name(named, tmp_path):
    info = run_on(("grey", "dark"), tmp_path, named).parts.info
    reordered = dataclasses.replace(info.fields["label"], names=("white", "dark"))
    judge = Trained(named, dataclasses.replace(info, fields={**info.fields, "label": reordered}))
    images = np.stack([np.full((4, 4, 1), SHADES[name] / 255, np.float32) for name in ("white", "dark")])
    assert judge.classify(images).tolist() == [0, 1]
    assert places(named, ("dark", "grey", "white"), ("white", "dark")).tolist() == [1, -1, 0], "the run has no grey"


def test_a_judge_that_was_trained_without_a_class_is_refused(named, tmp_path):
    with pytest.raises(PageError, match="was trained without the class 'gray': did you mean 'grey'"):
        run_on(("gray", "dark"), tmp_path, named).train(quiet=True)


def test_the_judge_needs_no_training_set_of_its_own(named, tmp_path):
    shutil.rmtree(tmp_path / "judges")
    run = run_on(("dark", "white"), tmp_path, named, steps=1, log_every=1, evaluate_every=1, checkpoint_every=1)
    assert run.train(quiet=True)["test/covered"] >= 0


def test_the_judge_sees_what_would_be_saved(named, tmp_path):
    run, seen = run_on(("dark", "grey"), tmp_path, named), []

    class Judge(Trained):
        def features(self, images):
            seen.append(images)
            return super().features(images)

    quality = SampleQuality(run.parts, Judge(named, run.parts.info), 12)
    made = np.random.default_rng(0).normal(0.5, 1.0, (12, 4, 4, 1)).astype(np.float32)
    source = run.parts.source("test")
    numbers = quality.start(source, lambda condition: {"image": made}).compute()
    levels = 255 * seen[0].astype(np.float64)
    assert levels.min() == 0 and levels.max() == 255
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)
    saved = samples.grid(made, columns=12, gap=0)[::14, ::14, :1]  # each pixel is drawn 14 × 14 times
    np.testing.assert_array_equal(saved.reshape(4, 12, 4).swapaxes(0, 1), np.round(levels[..., 0]))
    assert numbers["fd"] > 0


def test_samples_that_are_not_numbers_have_no_quality(named, tmp_path):
    run = run_on(("dark", "grey"), tmp_path, named)
    quality = SampleQuality(run.parts, Trained(named, run.parts.info), 12)
    nothing = lambda condition: {"image": np.full((12, 4, 4, 1), np.nan, np.float32)}
    numbers = quality.start(run.parts.source("test"), nothing).compute()
    assert np.isnan(numbers["fd"]) and np.isnan(numbers["covered"])


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (4, "the judge 'mlp-.*' compares 4 features: it needs 5 samples or more, there are 4"),
        (13, "compares 13 samples with as many images of the split, which has 12: ask for fewer"),
    ],
)
def test_too_few_images_for_a_judge_are_refused_before_training(named, tmp_path, samples, message):
    config = override(run_on(("dark", "grey"), tmp_path, named).page, [("train.judge_samples", str(samples))])
    with pytest.raises(TrainingError, match=message):
        build(config, tmp_path / "run").train(quiet=True)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
