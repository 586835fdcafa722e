"""What `fovea sample --given NAME=TEXT` means."""

import types

import numpy as np
import pytest
from PIL import Image

from data.errors import DataError
from experiments.commands.sample import asked
from experiments.errors import PageError

PARTS = types.SimpleNamespace(info=types.SimpleNamespace(classes=("cat", "dog")))


def test_a_class_is_named_or_numbered():
    np.testing.assert_array_equal(asked("dog", "label", PARTS, 3), [1, 1, 1])
    np.testing.assert_array_equal(asked("0", "label", PARTS, 2), [0, 0])
    with pytest.raises(PageError, match="there is no class 'dgo': did you mean 'dog'"):
        asked("dgo", "label", PARTS, 2)


def test_a_mask_is_a_picture_or_an_array(tmp_path):
    mask = np.zeros((4, 6), np.uint8)
    mask[2:, 3:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    np.save(tmp_path / "mask.npy", mask > 0)
    np.save(tmp_path / "each.npy", np.stack([mask, 0 * mask, mask]) > 0)
    for name in ("mask.png", "mask.npy"):
        np.testing.assert_array_equal(asked(str(tmp_path / name), "mask", PARTS, 3), [mask > 0])
    assert asked(str(tmp_path / "each.npy"), "mask", PARTS, 3).shape == (3, 4, 6)
    with pytest.raises(PageError, match=r"each\.npy has 3 rows for 4 samples"):
        asked(str(tmp_path / "each.npy"), "mask", PARTS, 4)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        asked(str(tmp_path / "broken.png"), "mask", PARTS, 4)


@pytest.mark.parametrize("kind", ["array", "mask"])
def test_a_file_that_does_not_hold_rows_is_one_line(kind, tmp_path):
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "torn.npy").write_bytes(b"PK\x03\x04 and no more")
    np.save(tmp_path / "number.npy", np.float32(3))
    with (tmp_path / "several.npy").open("wb") as file:
        np.savez(file, a=np.zeros(3))
    for name, line in (
        ("empty", "as an .npy file of arrays: "),
        ("torn", "as an .npy file of arrays: "),
        ("several", "as an .npy file of arrays: it is an .npz"),
        ("number", "is one number, not rows for 3 samples"),
    ):
        with pytest.raises(PageError, match=line) as refused:
            asked(str(tmp_path / f"{name}.npy"), kind, PARTS, 3)
        assert "\n" not in str(refused.value)
