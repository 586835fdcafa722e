"""Images with boxes or captions that a CSV file lists."""

import numpy as np
import pytest
from PIL import Image

from data import open_source
from data.errors import DataError
from data.text import Vocabulary


@pytest.fixture
def listed(tmp_path):
    """listed("file,label", "a.png,x") -> a CSV beside two pictures, of 40 × 20 and of 20 × 20 pixels."""
    for name, size in (("a.png", (40, 20)), ("b.png", (20, 20))):
        Image.fromarray(np.full((*size[::-1], 3), 128, np.uint8)).save(tmp_path / name)

    def write(*lines):
        (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
        return tmp_path / "list.csv"

    return write


BOXES = ("file,x1,y1,x2,y2,label", "a.png,0,0,20,10,cat", "a.png,30,5,40,20,dog", "b.png,,,,,")


def test_boxes_are_on_the_canvas_and_their_truth_in_the_picture(listed):
    source = open_source(f"boxes:{listed(*BOXES)}", "train", image_size=20, max_objects=3)
    assert len(source) == 2 and source.info.classes == ("cat", "dog")
    (a,) = (i for i in range(2) if source.files[i].name == "a.png")
    batch, truth = source.fetch(np.arange(2)), source.truth(np.arange(2))
    # 40 × 20 onto 20 × 20: half as large, with 5 rows above and below.
    np.testing.assert_allclose(batch["boxes"][a], [[0, 5, 10, 10], [15, 7.5, 20, 15], [0, 0, 0, 0]])
    np.testing.assert_array_equal(batch["labels"][a], [0, 1, -1])
    np.testing.assert_array_equal(batch["labels"][1 - a], [-1, -1, -1])
    np.testing.assert_array_equal(truth[a]["boxes"], [[0, 0, 20, 10], [30, 5, 40, 20]])
    assert truth[a]["size"] == (20, 40) and truth[1 - a]["boxes"].shape == (0, 4)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("file,x1,y1,x2,label", "a.png,0,0,1,cat"), "y2 is missing"),
        ((BOXES[0], "c.png,0,0,1,1,cat"), "line 2: no file"),
        ((BOXES[0], "a.png,0,0,1,one,cat"), "line 2: .* must be numbers"),
        ((BOXES[0], "a.png,0,0,1,1,"), "line 2: no label"),
        ((BOXES[0], "a.png,0,0,41,1,cat"), r"leaves the picture of 40×20 pixels$"),
        ((BOXES[0], "a.png,30,10,5,5,cat"), "are these x, y, width, height"),
        ((BOXES[0], *(f"a.png,0,0,{i},1,cat" for i in range(1, 5))), "has 4 boxes: data.max_objects=3"),
        ((BOXES[0], "a.png,,,,,"), "lists no box"),
    ],
)
def test_what_cannot_be_a_box_is_one_line(listed, lines, message):
    with pytest.raises(DataError, match=message):
        open_source(f"boxes:{listed(*lines)}", "train", image_size=20, max_objects=3)


def test_every_caption_is_drawn_in_training_and_the_first_in_evaluation(listed):
    path = listed("file,caption", '"a.png","A cat, asleep."', "a.png,The CAT sleeps", "b.png,Nothing")
    source = open_source(f"captions:{path}", "train", image_size=16, length=6)
    words = Vocabulary(source.info.fields["tokens"].names)
    (a,) = (i for i in range(2) if source.files[i].name == "a.png")
    read = lambda keys=None: words.decode(source.fetch(np.array([a]), keys)["tokens"][0])
    assert read() == "a cat asleep"
    assert {read(np.array([[0, use]])) for use in range(20)} == {"a cat asleep", "the cat sleeps"}
    assert source.truth([a])[0]["captions"] == ["a cat asleep", "the cat sleeps"]
    assert source.resident() is None


def test_rare_words_are_unknown_and_long_captions_are_cut(listed):
    path = listed("file,caption", "a.png,one two two two", "b.png,two")
    source = open_source(f"captions:{path}", "train", image_size=16, length=5, min_count=2)
    words = Vocabulary(source.info.fields["tokens"].names)
    texts = {words.decode(tokens) for tokens in source.fetch(np.arange(2))["tokens"]}
    assert texts == {"<unknown> two two", "two"}
    with pytest.raises(DataError, match="line 2: no caption"):
        open_source(f"captions:{listed('file,caption', 'a.png,!')}", "train", image_size=16)
