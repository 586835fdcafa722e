import itertools

import numpy as np
import pytest

from data import DataError, open_source
from data.pipeline import EvaluationFeed, Feed, first_batch, resident_arrays
from data.samplers import indices
from data.source import ArraySource


@pytest.fixture(scope="module")
def source():
    return open_source("digits", "train[:50]")


def assert_equal(batch, other):
    assert batch.keys() == other.keys()
    for key in batch:
        assert batch[key].dtype == other[key].dtype
        np.testing.assert_array_equal(batch[key], other[key])


@pytest.mark.parametrize("batch_size", [1, 7, 10, 25])
def test_every_example_is_used_equally_often(batch_size):
    stream = np.concatenate([indices(3, step, batch_size, 10) for step in range(20)])
    for epoch in np.split(stream[: len(stream) // 10 * 10], len(stream) // 10):
        assert sorted(epoch) == list(range(10))


def test_indices_do_not_depend_on_the_batch_size_and_differ_between_epochs_and_seeds():
    streams = [np.concatenate([indices(0, s, b, 10) for s in range(40 // b)]) for b in (1, 8, 20)]
    assert all(np.array_equal(streams[0], stream) for stream in streams)
    assert not np.array_equal(streams[0][:10], streams[0][10:20])
    assert not np.array_equal(indices(0, 0, 10, 10), indices(1, 0, 10, 10))


def test_indices_are_these():
    """A stored run must read the same examples with the next version of fovea and of NumPy."""
    assert indices(0, 0, 8, 10).tolist() == [4, 6, 2, 7, 3, 5, 9, 0]


def test_late_steps_cost_no_more():
    assert indices(0, 10**12, 4, 7).shape == (4,)


def test_resume_at_any_step(source):
    feed = Feed(source, 16, seed=1)
    through = feed.start()
    batches = list(itertools.islice(through, 8))
    through.close()
    resumed = feed.start(5)
    for step in range(5, 8):
        batch = next(resumed)
        assert_equal(batch, batches[step])
        assert_equal(batch, feed[step])
    resumed.close()


def test_streaming_and_resident_give_the_same_batches(source):
    arrays = resident_arrays(source)
    streaming, ids = Feed(source, 16), Feed(source, 16, resident=True)
    for step in range(6):
        feed = ids[step]
        assert list(feed) == ["id", "use"]
        gathered = {**{k: v[feed["id"]] for k, v in arrays.items()}, **feed}
        assert_equal(gathered, streaming[step])


def test_processes_read_their_rows_of_the_global_batch(source):
    whole = Feed(source, 12, seed=2)[7]
    parts = [Feed(source, 12, seed=2, process_index=i, process_count=3)[7] for i in range(3)]
    assert_equal(whole, {k: np.concatenate([part[k] for part in parts]) for k in whole})


def test_batch_size_must_divide_among_processes(source):
    with pytest.raises(DataError, match="10 is not a multiple of 3 processes"):
        Feed(source, 10, process_count=3)


@pytest.mark.parametrize("batch_size", [16, 25, 64])
def test_evaluation_sees_every_example_once_in_order(source, batch_size):
    feed = EvaluationFeed(source, batch_size)
    batches = list(feed)
    assert len(batches) == len(feed)
    assert all(batch["image"].shape == (batch_size, 8, 8, 1) for batch in batches)
    mask = np.concatenate([batch["mask"] for batch in batches])
    ids = np.concatenate([batch["id"] for batch in batches])
    assert ids[mask].tolist() == list(range(50))
    assert set(ids) <= set(range(50))
    np.testing.assert_array_equal(np.concatenate([b["label"] for b in batches])[mask], source.arrays["label"])


def test_evaluation_by_processes(source):
    whole = list(EvaluationFeed(source, 16))
    shares = [list(EvaluationFeed(source, 16, process_index=i, process_count=4)) for i in range(4)]
    for step, batch in enumerate(whole):
        assert_equal(batch, {k: np.concatenate([share[step][k] for share in shares]) for k in batch})


def test_resident_is_what_fits_with_all_its_fields(source):
    size = 50 * (64 + 4)  # images and labels
    assert resident_arrays(source, limit=size) is not None
    assert resident_arrays(source, limit=size - 1) is None


def scenes(**arrays):
    source = open_source("scenes", "train", num_train=8, num_validation=1, num_test=1)
    return ArraySource({**source.arrays, **arrays}, source.info)


def changed(array, value):
    array = array.copy()
    array[3].flat[-1] = value
    return array


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("labels", 11, "example 3 has the label 11 in 'labels', but there are 11 classes"),
        ("masks", -2, "example 3 has the value -2 in 'masks', but there are 11 classes"),
        ("tokens", 900, "example 3 has the value 900 in 'tokens', but there are 40 words"),
        ("tokens", -1, "example 3 has the value -1 in 'tokens'"),
    ],
)
def test_classes_and_words_are_checked_by_kind(field, value, message):
    wrong = scenes(**{field: changed(scenes().arrays[field], value)})
    for read in (lambda: resident_arrays(wrong), lambda: Feed(wrong, 8)[0], lambda: list(EvaluationFeed(wrong, 4))):
        with pytest.raises(DataError, match=message):
            read()
    assert len(list(EvaluationFeed(scenes(instances=changed(scenes().arrays["instances"], 200)), 4))) == 2


def test_fields_that_are_not_as_declared_are_refused():
    with pytest.raises(DataError, match="'depth', which their info does not declare"):
        Feed(scenes(depth=np.zeros((8, 64, 64))), 4)[0]
    with pytest.raises(DataError, match=r"'boxes' of shape \(4,\), but declare \(5, 4\)"):
        Feed(scenes(boxes=np.zeros((8, 4))), 4)[0]


def test_the_first_batch_has_ids_and_every_field(source):
    evaluated = EvaluationFeed(source, 3)[0]
    del evaluated["mask"]
    assert_equal(first_batch(source, 3), evaluated)
    assert first_batch(open_source("digits", "train[:2]"), 3)["id"].tolist() == [0, 1, 0]


def test_faults_of_a_source_reach_the_reader():
    class Broken(type(open_source("digits", "test"))):
        def fetch(self, ids, keys=None):
            raise DataError("cannot read image a.png")

    good = open_source("digits", "test")
    iterator = Feed(Broken(good.arrays, good.info), 4).start()
    with pytest.raises(DataError, match=r"a\.png"):
        next(iterator)
