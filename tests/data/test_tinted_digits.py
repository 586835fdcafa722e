"""Tinted digits: two sets of one split that share no digit."""

import numpy as np
import pytest

from data import DataError, open_source


def test_the_two_sets_share_no_digit():
    source = open_source("tinted_digits", "test", size=8)
    grey = open_source("digits", "test")
    other = source.groups["other"]
    assert len(source) + len(other) == len(grey) and abs(len(source) - len(other)) <= 1
    plain = source.fetch(np.arange(len(source)))["image"]
    np.testing.assert_array_equal(255 - plain[..., 0], grey.fetch(np.arange(0, len(grey), 2))["image"][..., 0])
    tinted = other.fetch(np.arange(len(other)))["other"]
    assert tinted.shape[1:] == source.info.fields["other"].shape == (8, 8, 3)
    shares = grey.fetch(np.arange(1, len(grey), 2))["image"] / 255
    np.testing.assert_allclose(
        tinted, np.array((245, 222, 160)) * (1 - shares) + np.array((30, 40, 140)) * shares, atol=0.51
    )


def test_batches_are_unpaired():
    from data.pipeline import Feed

    source = open_source("tinted_digits", "train")
    batch = Feed(source, 8, seed=0, sampler="unpaired")[0]
    assert batch["image"].shape == batch["other"].shape == (8, 32, 32, 3)
    assert not np.array_equal(batch["id"], batch["id/other"])


def test_bad_pages_are_one_clear_line():
    with pytest.raises(DataError, match="takes no argument"):
        open_source("tinted_digits:8", "train")
    with pytest.raises(DataError, match="needs two digits"):
        open_source("tinted_digits", "train[:1]")
