"""What eval computes from the answers to single examples, by closed forms; and transfer to other classes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binomtest

from experiments.evaluation import calibration, crops, significance
from experiments.evaluation.scores import probabilities
from experiments.explain import attacks
from experiments.pages.catalogue import load
from experiments.pages.stored import read_page
from experiments.runs.run import build
from experiments.weights import safetensors
from experiments.weights.naming import shapes
from models.classification.mlp import MLP
from models.port import to_torch
from tests.models.parity import filled

RANDOM = np.random.default_rng(0)


def test_the_calibration_error_of_two_bins():
    found = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    labels = np.array([0, 1, 0, 0])
    # Confidence 0.9 and accuracy 0.5, confidence 0.6 and accuracy 1.
    assert calibration.calibration_error(found, labels) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    table = calibration.reliability(found, labels)
    assert table[:, 0].sum() == pytest.approx(1) and (table[:, 0] > 0).sum() == 2


def test_the_temperature_undoes_a_factor_on_logits_that_were_right():
    logits = RANDOM.standard_normal((20_000, 5)) * 2
    labels = np.array([RANDOM.choice(5, p=p) for p in probabilities(logits)])
    assert calibration.calibration_error(probabilities(logits), labels) < 0.02
    assert calibration.temperature(3 * logits, labels) == pytest.approx(3, rel=0.05)
    error = lambda t: calibration.cross_entropy(probabilities(logits / t), labels)
    best = error(calibration.temperature(logits, labels))
    assert all(best <= error(t) for t in (0.5, 0.9, 1.1, 2.0))


@pytest.mark.parametrize(("only_one", "only_other"), [(24, 45), (0, 5), (3, 3), (0, 0)])
def test_mcnemar_is_the_binomial_test_of_the_differing_examples(only_one, only_other):
    one = np.array([True] * (only_one + 10) + [False] * (only_other + 5))
    other = np.array([False] * only_one + [True] * 10 + [True] * only_other + [False] * 5)
    a, b, p = significance.mcnemar(one, other)
    expected = binomtest(only_one, only_one + only_other).pvalue if only_one + only_other else 1.0
    assert (a, b) == (only_one, only_other) and p == pytest.approx(expected)
    low, high = significance.bootstrap(one, other)
    assert low <= one.mean() - other.mean() <= high


def test_ten_crops_are_corners_centre_and_mirror_images():
    images = np.arange(2 * 4 * 6).reshape(2, 4, 6, 1)
    found = crops.ten(images, 2)
    assert found.shape == (10, 2, 2, 2, 1)
    np.testing.assert_array_equal(found[3], images[:, 2:, 4:])
    np.testing.assert_array_equal(found[4], images[:, 1:3, 2:4])
    np.testing.assert_array_equal(found[9, 0, 0, :, 0], [9, 8])


def test_attacks_on_a_linear_classifier_go_to_the_corner_of_the_box():
    weights = RANDOM.standard_normal((12, 2)).astype(np.float32)
    apply = lambda v, x: x.reshape(len(x), -1) @ v
    images, labels = jnp.full((3, 2, 2, 3), 0.5), jnp.array([0, 1, 0])
    towards = np.sign(weights[:, 1] - weights[:, 0])
    expected = 0.5 + 0.1 * np.stack([towards, -towards, towards]).reshape(images.shape)
    np.testing.assert_allclose(attacks.fgsm(apply, weights, images, labels, 0.1), expected, rtol=1e-6)
    found = attacks.pgd(apply, weights, images, labels, 0.1, jax.random.key(0))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert float(attacks.fgsm(apply, weights, images, labels, 0.9).max()) == 1.0


# The command.


@pytest.fixture
def measured(fovea, trained):
    """measured("--ensemble", …) -> the rows that the command has added to the work directory."""

    def call(*words, **overrides):
        result = fovea("eval", "--workdir", trained, *words, **overrides)
        assert (result.code, result.error) == (0, "")
        return json.loads((trained / "closer.json").read_text())[-1]["rows"]

    return call


def test_an_ensemble_of_a_run_and_itself_is_the_run(measured, trained):
    one, other, together = measured("--ensemble", trained)
    assert one[1:] == other[1:] == pytest.approx(together[1:])
    accuracy = build(read_page(trained), trained).evaluate("test")["accuracy"]
    assert 1 - together[1] == pytest.approx(accuracy)


def test_of_several_processes_the_first_alone_writes(fovea, trained, monkeypatch):
    files = [trained / name for name in ("closer.json", "reliability.png")]
    for file in files:
        file.unlink(missing_ok=True)
    monkeypatch.setattr("training.parallel.is_main", lambda: False)
    result = fovea("eval", "--workdir", trained, "--calibrate", "--split", "validation")
    assert (result.code, result.out) == (0, "") and not any(file.exists() for file in files)


def test_a_run_does_not_differ_from_itself(measured, trained):
    rows = dict(measured("--against", trained))
    assert rows["p (McNemar, exact)"] == 1.0 and rows["right in the first alone"] == 0


def test_calibration_lowers_the_cross_entropy_where_it_is_fitted(measured, trained):
    (_, t, *_), (_, _, _, before), (_, _, _, after) = measured("--calibrate", "--split", "validation")
    assert t > 0 and after <= before
    assert (trained / "reliability.png").stat().st_size > 1000


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
def test_accuracy_under_an_attack_falls(attack, measured):
    rows = measured("--attack", attack, "--epsilons", "0,4,64")
    plain, _, strong = (accuracy for _, accuracy in rows)
    assert strong < plain


@pytest.fixture(scope="module")
def of_seven_classes(tmp_path_factory):
    """A work directory of the network of `mlp_digits` with seven classes."""
    from experiments.cli import main

    folder = tmp_path_factory.mktemp("seven")
    fields = {key: value for key, value in load("mlp_digits").model.items() if key != "name"}
    variables = filled(shapes(MLP(**fields, num_classes=7), np.zeros((1, 8, 8, 1), np.float32)))
    safetensors.write(to_torch(variables), folder / "w")
    words = ["import", "--model", "mlp", "--weights", str(folder / "w"), "--workdir", str(folder / "run")]
    keys = {"data.image_size": 8, "data.channels": 1} | {f"model.{key}": value for key, value in fields.items()}
    assert main([*words, *(f"--config.{key}={value}" for key, value in keys.items())]) == 0
    return folder / "run", variables


def test_where_the_classes_differ_the_head_is_new_and_the_rest_is_taken(of_seven_classes, fovea, small, tmp_path):
    source, variables = of_seven_classes
    keys = {**small, "train.init_from": source, "optimizer.freeze": "hidden", "train.ema": 0.0}
    result = fovea("train", "--config", "mlp_digits", "--workdir", tmp_path, **keys)
    assert result.code == 0
    (line,) = (line for line in result.error.splitlines() if "other classes" in line)
    head = [name for name in variables["params"] if not name.startswith("hidden")]
    assert line == (
        f"fovea: {source} has 7 other classes: {', '.join(f'{head[0]}/{leaf}' for leaf in ('bias', 'kernel'))} are new"
    )
    found = build(read_page(tmp_path), tmp_path).restore()[0].params["model"]
    assert found[head[0]]["kernel"].shape[-1] == 10
    for name in variables["params"].keys() - set(head):
        np.testing.assert_array_equal(found[name]["kernel"], variables["params"][name]["kernel"])
    assert fovea("train", "--config", "mlp_digits", "--workdir", tmp_path, **keys).code == 0, "it resumes"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--against", "nowhere"), "nowhere is not a work directory"),
        (("--attack", "fgms"), "--attack fgms: did you mean 'fgsm'?"),
        (("--ten-crop", "9"), "--ten-crop 9: the images have 8×8 pixels"),
        (("--ten-crop", "7"), "--ten-crop 7: the network does not take images of 7 pixels"),
        (("--calibrate", "--config.data.validation="), "--calibrate fits the temperature on the validation set"),
        (("--calibrate", "--over", "data.scale=unit"), "--calibrate measures one page: not with --over"),
    ],
)
def test_bad_input_is_one_line(words, line, trained, fovea):
    result = fovea("eval", "--workdir", trained, *words)
    assert (result.code, result.out) == (2, "")
    assert result.error.startswith(f"fovea: {line}") and result.error.count("\n") == 1


def test_an_ensemble_of_different_classes_is_one_line(of_seven_classes, trained, fovea):
    result = fovea("eval", "--workdir", trained, "--ensemble", of_seven_classes[0])
    line = f"fovea: {of_seven_classes[0]} has other classes than {trained}: 7 from '0' there, 10 from '0' here\n"
    assert (result.code, result.out, result.error) == (2, "", line)
