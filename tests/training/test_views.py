"""What is shown of an example: each view draws what it declares, and a panel puts examples side by side."""

import types

import numpy as np

from training import views

INFO = types.SimpleNamespace(
    classes=("background", "cell", "nucleus"),
    fields={"caption": types.SimpleNamespace(names=("<pad>", "<start>", "<end>", "a", "cell"))},
)
EXAMPLE = {
    "image": np.full((2, 3, 1), 100, np.uint8),
    "masks": np.array([[0, 1, 2], [0, -1, 1]]),
    "boxes": np.array([[0, 0, 2, 1], [0, 0, 0, 0]], np.float32),
    "labels": np.array([1, -1]),
    "points": np.array([[[1, 1, 2], [0, 0, 0]]], np.float32),
    "caption": np.array([1, 3, 4, 2, 4, 0]),
    "label": np.int32(2),
    "probability": np.float32(0.5),
}


def test_colours_lie_over_the_image_where_there_is_a_class():
    colours = views.palette(12)
    assert len({tuple(c) for c in colours.tolist()}) == 12 and not colours[0].any()
    drawn = views.mask().draw(EXAMPLE, INFO)
    assert drawn.shape == (2, 3, 3) and drawn.dtype == np.uint8
    assert (drawn[EXAMPLE["masks"] <= 0] == 100).all()
    assert (drawn[0, 1] == np.round(50 + views.palette(3)[1] / 2)).all()


def test_lines_of_text():
    assert views.words("caption").draw(EXAMPLE, INFO) == "a cell"
    assert views.words("tokens", "caption").draw({"tokens": np.array([4, 3, 3])}, INFO) == "cell a a"
    assert views.classed("label").draw(EXAMPLE, INFO) == "nucleus 0.5000"
    assert [views.label().draw({"label": i}, INFO) for i in (-1, 1)] == ["none", "cell"]
    blended = {"label": 1, "mix": 0.75, "label_mix": 0}
    assert views.label().draw(blended, INFO) == "75 % cell + 25 % background"
    found = {"prediction": np.maximum(EXAMPLE["masks"], 0)}
    assert views.shares().draw(found, INFO) == "background 50.0% cell 33.3% nucleus 16.7%"


def test_boxes_and_points_are_drawn_where_they_are_and_padding_is_not():
    plain = views.panel((views.image(),), [EXAMPLE], INFO).shape
    blank = {**EXAMPLE, "labels": np.array([-1, -1]), "points": 0 * EXAMPLE["points"]}
    for view in (views.boxes(), views.points()):
        drawn, empty = view.draw(EXAMPLE, INFO), view.draw(blank, INFO)
        assert drawn.shape == empty.shape and (empty == 100).all()  # enlarged
        rows, columns = np.nonzero((drawn != empty).any(-1))
        assert rows.size and columns.max() < drawn.shape[1]
        assert views.panel((view,), [EXAMPLE], INFO).shape[0] == plain[0]
    factor = views.boxes().draw(blank, INFO).shape[1] // 3
    box = (views.boxes().draw(EXAMPLE, INFO) != 100).any(-1)
    assert box[0, : 2 * factor].all() and box[factor - 1, : 2 * factor].all()
    assert not box[factor:, 2 * factor :].any()


def test_floats_are_images_between_0_and_1():
    assert (views.rgb(np.full((1, 1, 1), 0.5, np.float32)) == 128).all()
    assert views.rgb(np.full((1, 1, 2), 2.0)).tolist() == [[[255, 255, 0]]]


def test_a_view_without_its_needs_is_left_out():
    row = (views.image(), views.label(title="true"), views.classed(title="found"))
    assert list(views.shown(row, EXAMPLE, INFO)) == ["image", "true"]
    own = {"image": EXAMPLE["image"], "prediction": 1, "probability": 1}
    assert views.shown(row, own, INFO)["found"] == "cell 1.0000" and "true" not in views.shown(row, own, INFO)


def test_a_panel_has_a_column_for_each_example_and_a_row_for_each_view():
    row = (views.image(), views.mask(), views.label())
    one, three = (views.panel(row, [EXAMPLE] * n, INFO) for n in (1, 3))
    assert one.dtype == np.uint8 and one.shape[0] == three.shape[0]
    width = (three.shape[1] - one.shape[1]) // 2
    np.testing.assert_array_equal(three[:, -width:], three[:, -2 * width : -width])
    assert views.panel(row[:2], [EXAMPLE], INFO).shape[0] < one.shape[0]
