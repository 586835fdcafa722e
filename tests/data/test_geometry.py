"""One matrix takes a picture of any size onto the canvas, moves its boxes, and brings answers back."""

import io

import numpy as np
import pytest
from PIL import Image

from data import geometry
from data.errors import DataError
from data.placement import CROPS, check_crop, place
from data.preparation import Preparation

SIZES = [(60, 40), (33, 90), (50, 50)]  # width, height


def picture(width, height, box):
    """Black, with a white box (x1, y1, x2, y2)."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    return Image.fromarray(pixels)


def fit(image, size, crop, key):
    """(the image on its canvas, where it lies there)."""
    placement = place(image.width, image.height, size, crop, key)
    return placement.draw(image), placement


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("canvas", [64, (48, 80), (90, 30), None])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_matrix_takes_a_box_where_its_pixels_go(width, height, canvas, crop):
    if canvas is None and crop == "random":
        return
    box = (width // 3, height // 3, 2 * width // 3, 2 * height // 3)
    image, placement = fit(picture(width, height, box), canvas, crop, np.array([1, 2, 3]))
    bright = np.asarray(image)[..., 0] > 127
    shape = (height, width) if canvas is None else tuple(np.broadcast_to(canvas, 2))
    assert bright.shape == placement.canvas == shape
    expected = geometry.clip_boxes(geometry.move_boxes(placement.matrix, box), *shape)[0]
    found = geometry.boxes_of_mask(bright.astype(int), 1)[0]
    if (expected[2:] - expected[:2] > 1).all():
        np.testing.assert_allclose(found, expected, atol=1.0)
    back = geometry.move_boxes(geometry.inverted(placement.matrix), geometry.move_boxes(placement.matrix, box))
    np.testing.assert_allclose(back[0], box, atol=1e-9)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_letterbox_keeps_the_aspect_ratio_and_the_whole_picture(width, height):
    placement = place(width, height, (48, 64), "letterbox")
    left, top, right, bottom = placement.place
    assert placement.region == (0, 0, width, height)
    assert (right - left == 64) or (bottom - top == 48)
    assert abs((right - left) / (bottom - top) - width / height) < 0.06
    image, _ = fit(Image.new("RGB", (width, height), (9, 9, 9)), (48, 64), "letterbox", None)
    inside = np.zeros((48, 64), bool)
    inside[top:bottom, left:right] = True
    np.testing.assert_array_equal(np.asarray(image)[..., 0], 9 * inside)
    mask = placement.draw(Image.fromarray(np.full((height, width), 3, np.int32)), nearest=True, fill=-1)
    np.testing.assert_array_equal(np.asarray(mask), np.where(inside, 3, -1))


def test_a_square_canvas_may_be_written_as_its_side():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
    for crop in CROPS:
        one, two = (fit(image, size, crop, np.array([1, 2]))[0] for size in (32, (32, 32)))
        np.testing.assert_array_equal(one, two)


def test_points_keep_their_visibility():
    matrix = geometry.onto((10, 0, 30, 40), (0, 0, 10, 80))
    np.testing.assert_allclose(geometry.move_points(matrix, [[20, 10, 2.0]]), [[5, 20, 2]])
    np.testing.assert_allclose(geometry.composed(geometry.inverted(matrix), matrix), np.eye(2, 3), atol=1e-12)


def test_decoding_gives_the_pixels_and_their_place():
    file = io.BytesIO()
    picture(60, 40, (10, 10, 20, 20)).save(file, "png")
    pixels, placement = Preparation(1, 32, "letterbox").read(file)
    assert pixels.shape == (32, 32, 1) and placement.place == (0, 5, 32, 26)


@pytest.mark.parametrize(
    ("crop", "size", "message"),
    [
        ("letterbx", 8, "did you mean 'letterbox'"),
        ("random", None, "needs data.image_size"),
        ("center", (4, 0), "a side or"),
        ("center", (4, 5, 6), "a side or"),
    ],
)
def test_an_unsuitable_canvas_is_one_line(crop, size, message):
    with pytest.raises(DataError, match=message):
        check_crop(crop, size)
