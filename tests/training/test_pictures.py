"""Pictures follow from the keys that numbers have; here their content is read off the figures."""

import numpy as np

from training import metrics, pictures
from training.metrics import classification
from training.metrics.readings import Reading


def lines(figure):
    return {ax.get_title(loc="left"): {line.get_label(): line for line in ax.lines} for ax in figure.axes}


def test_curves_group_what_belongs_together():
    records = [
        {"step": s, "train/loss": 1 / s, "train/learning_rate": 0.1, "train/gradient_norm": 1.0, "time/wait_share": 0.0}
        for s in (10, 20, 30)
    ] + [{"step": 30, "validation/cross_entropy": 0.5, "validation/accuracy": 0.9, "validation/weights": "raw"}]
    own = metrics.mean("loss", "cross_entropy", "min", "nats", panel="loss").readings
    found = lines(pictures.curves(records, own))
    assert list(found) == ["loss", "accuracy", "learning rate", "norms"]
    assert found["loss"].keys() == {"train", "validation"} and found["norms"].keys() == {"gradient"}
    np.testing.assert_allclose(found["loss"]["train"].get_xydata(), [[10, 0.1], [20, 0.05], [30, 1 / 30]])


def test_curves_have_the_units_of_their_readings_and_every_set_that_is_evaluated_again():
    records = [{"step": s, "train/accuracy": 0.5, "set5/psnr": 30.0 + s} for s in (1, 2)]
    records.append({"step": 2, "test/accuracy": 0.75, "test/ssim": 0.9})
    readings = {"accuracy": Reading("max", "%"), "psnr": Reading("max", "dB"), "ssim": Reading("max")}
    found = lines(pictures.curves(records, readings))
    assert found.keys() == {"accuracy, %", "psnr, dB"}
    np.testing.assert_allclose(found["accuracy, %"]["train"].get_ydata(), 50)
    np.testing.assert_allclose(found["psnr, dB"]["set5"].get_ydata(), [31, 32])
    assert found["accuracy, %"].keys() == {"train"}  # the test split is one point


def test_readings_give_the_panels_and_the_scale_of_the_curves():
    records = [{"step": s, "train/loss": 10.0**s, "validation/error": 0.1, "validation/kl": 10.0**s} for s in (1, 2, 3)]
    figure = pictures.curves(records, classification.accuracy().readings)
    assert {ax.get_title(loc="left"): ax.get_yscale() for ax in figure.axes} == {"loss": "log", "kl": "linear"}
    figure = pictures.curves(records, {"kl": Reading(scale="log"), "error": Reading(panel="loss", line="error")})
    assert {ax.get_title(loc="left"): ax.get_yscale() for ax in figure.axes} == {"loss": "log", "kl": "log"}
    assert lines(figure)["loss"].keys() == {"train", "validation error"}


def test_numbers_of_one_panel_keep_their_units_and_their_sets():
    records = [{"step": s, "validation/ap": 0.5, "other/ap": 0.25, "validation/speed": 7.0} for s in (1, 2)]
    readings = {"ap": Reading("max", "%", panel="quality", line="AP"), "speed": Reading(panel="quality")}
    found = lines(pictures.curves(records, readings))["quality"]
    assert found.keys() == {"validation AP", "other AP", "validation"}
    assert [list(found[name].get_ydata()) for name in found] == [[25, 25], [7, 7], [50, 50]]


def test_curves_of_two_players_are_two_lines():
    records = [{"step": 1, "train/critic/loss": 1.0, "train/generator/loss": 2.0}]
    assert lines(pictures.curves(records))["loss"].keys() == {"critic train", "generator train"}


def test_curves_leave_out_what_is_not_finite_and_bear_no_records():
    assert lines(pictures.curves([{"step": 1, "train/loss": float("nan")}])) == {}
    assert pictures.pixels(pictures.curves([])).ndim == 3


def test_confusion_counts_and_title():
    figure = pictures.confusion(np.array([[8, 2], [0, 0]]), ["cat", "dog"])
    texts = {(t.get_position(), t.get_text()) for t in figure.axes[0].texts}
    assert texts == {((0, 0), "8"), ((1, 0), "2")}  # (column, row)
    assert figure.axes[0].get_title(loc="left") == "8 of 10 right (80.00 %)"


def test_confusion_of_many_classes_and_of_none_counted():
    assert not pictures.confusion(np.eye(100), [str(i) for i in range(100)]).axes[0].texts
    assert pictures.pixels(pictures.confusion(np.zeros((3, 3)), "abc")).dtype == np.uint8


def test_mistakes_say_true_class_answer_and_probability(tmp_path):
    images = np.zeros((2, 4, 4, 3), np.uint8)
    figure = pictures.mistakes(images, [0, 1], [1, 0], [0.9, 0.7], ["cat", "dog"])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["dog, 90 %", "cat, 70 %"]
    assert [ax.get_xlabel() for ax in figure.axes] == ["true: cat", "true: dog"]
    pictures.save(figure, tmp_path / "mistakes.png")
    assert (tmp_path / "mistakes.png").stat().st_size > 1000


def test_grey_images_are_drawn_as_grey():
    figure = pictures.mistakes(np.full((1, 4, 4, 1), 255, np.uint8), [0], [1], [1.0], "ab")
    assert figure.axes[0].images[0].get_array().shape == (4, 4)
    assert figure.axes[0].images[0].get_clim() == (0, 255)


NAMES = ["$0_$10", "$x$", "a\\$b", "_a", "[bold]", "100 %", "a\nb", "日本", "\udce9", "x" * 300, "{}", "\\frac", "^_"]


def test_names_are_drawn_letter_by_letter():
    """Whatever classes, metrics and keys are called, a picture is drawn, and dollars make no formula."""
    k, images = len(NAMES), np.zeros((len(NAMES), 4, 4, 1), np.uint8)
    each = {
        "confusion": pictures.confusion(np.ones((k, k)), NAMES),
        "mistakes": pictures.mistakes(images, np.arange(k), np.arange(k), np.ones(k), NAMES),
        "examples": pictures.examples(images / 255, NAMES),
        "trends": pictures.trends(NAMES, [[name] * k for name in NAMES], {name: range(1, k + 1) for name in NAMES}),
        "curves": pictures.curves([{"step": i, **{f"train/{name}": 1.0 for name in NAMES}} for i in range(2)]),
    }
    for name, figure in each.items():
        assert pictures.pixels(figure).std() > 0, name
    titles = [ax.title.get_text() or ax.get_title(loc="left") for ax in each["examples"].axes]
    assert titles[0].replace("\\$", "$") == "$0_$10" and titles[3] == " _a"
