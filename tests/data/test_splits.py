import pytest

from data.errors import DataError
from data.splits import resolve

SIZES = {"train": 1437, "test": 360}


@pytest.mark.parametrize(
    ("spec", "slices"),
    [
        ("train", [("train", 0, 1437)]),
        ("train[:90%]", [("train", 0, 1293)]),
        ("train[90%:]", [("train", 1293, 1437)]),
        ("train[-10%:]", [("train", 1293, 1437)]),
        ("train[100:200]", [("train", 100, 200)]),
        ("train[5:-5] + test[:1]", [("train", 5, 1432), ("test", 0, 1)]),
        ("all", [("train", 0, 1437), ("test", 0, 360)]),
    ],
)
def test_slices(spec, slices):
    assert resolve(spec, SIZES) == slices


def test_percentages_neither_overlap_nor_leave_a_gap():
    for size in range(1, 40):
        for percent in range(0, 101, 5):
            parts = [f"train[:{percent}%]", f"train[{percent}%:]", f"train[{percent - 100}%:]"]
            found = [set() for _ in parts]
            for chosen, part in zip(found, parts, strict=True):
                try:
                    chosen.update(range(*resolve(part, {"train": size})[0][1:]))
                except DataError as error:
                    assert "selects none" in str(error)
            assert found[0] | found[1] == set(range(size))
            assert not found[0] & found[1]
            if percent < 100:  # "-0%" is no offset from the end
                assert found[1] == found[2]


def test_agrees_with_tfds():
    from tensorflow_datasets.core import splits as tfds

    infos = {
        name: tfds.SplitInfo(name=name, shard_lengths=[n], num_bytes=0, filename_template=None)
        for name, n in SIZES.items()
    }
    for spec in ("train[:33%]", "train[-10%:]", "train[7:-7]+test[50%:]", "test[:360]"):
        theirs = tfds.AbstractSplit.from_spec(spec).to_absolute(infos)
        theirs = [(s.splitname, s.from_ or 0, s.to or SIZES[s.splitname]) for s in theirs]
        assert theirs == resolve(spec, SIZES)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tran", "did you mean 'train'"),
        ("validation", "there is train, test"),
        ("train[x]", "cannot read split"),
        ("train[7]", "cannot read split"),
        ("", "cannot read split"),
        ("train[:2000]", "reaches beyond the 1437 examples"),
        ("train[:101%]", "reaches beyond"),
        ("train[10:10]", "selects none"),
    ],
)
def test_errors_name_the_remedy(spec, message):
    with pytest.raises(DataError, match=message.replace("[", r"\[")):
        resolve(spec, SIZES)
