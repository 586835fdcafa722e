"""One picture: a photo that needs no download, a file, and what is neither."""

import numpy as np
import pytest
from PIL import Image

from data import DataError, open_source


def test_photos_need_no_download():
    for name in ("china", "flower"):
        source = open_source(f"image:{name}", "train")
        picture = source.fetch(np.array([0]))["image"]
        assert len(source) == 1 and picture.shape == (1, 427, 640, 3) == (1, *source.info.shape)
        assert picture.std() > 20


def test_a_file_before_a_photo_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (5, 4), (1, 2, 3)).save(tmp_path / "flower", "PNG")
    picture = open_source("image:flower", "train").fetch(np.array([0]))["image"]
    assert picture.shape == (1, 4, 5, 3) and (picture == (1, 2, 3)).all()


def test_what_is_neither_is_one_clear_line():
    with pytest.raises(DataError, match=r"no file 'flowr': write 'image:path/to/photo\.jpg', or one of china, flower"):
        open_source("image:flowr", "train")
