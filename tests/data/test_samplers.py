"""Samplers: pure functions of (seed, step) that resume, shard and refuse what is impossible in one line."""

import itertools

import numpy as np
import pytest

from data import DataError, open_source
from data.fields import Field
from data.pipeline import EvaluationFeed, Feed, examples, first_batch, resident_arrays
from data.samplers import SAMPLERS, indices, make_sampler
from data.source import ArraySource, Info, blank_source, labelled_images


def labelled(*labels):
    """One image of one pixel for each label; the pixel is the id."""
    info = labelled_images(("a", "b", "c", "d"), (1, 1, 1), (0.5,), (0.5,))
    image = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return ArraySource({"image": image, "label": np.array(labels, np.int32)}, info)


def two_groups(first=7, second=5):
    fields = {"image": Field("image", (1, 1, 1), "uint8"), "other": Field("image", (1, 1, 1), "uint8", group="other")}
    of = lambda name, n, start: {name: np.arange(start, start + n, dtype=np.uint8).reshape(-1, 1, 1, 1)}
    other = ArraySource(of("other", second, 100), Info({"other": fields["other"]}, (0.5,), (0.5,)))
    return ArraySource(of("image", first, 0), Info(fields, (0.5,), (0.5,)), {"other": other})


UNEVEN = [0] * 30 + [1] * 10 + [2] * 3 + [-1] * 5 + [3]
EVERY = {"shuffled": "shuffled", "balanced": "balanced", "weighted": "weighted((1.0, 2.0, 0.0, 4.0))", "pk": "pk(3, 4)"}


def source_of(name):
    return two_groups(30, 21) if name == "unpaired" else labelled(*UNEVEN)


def test_every_sampler_is_tested():
    assert {*EVERY, "unpaired"} == SAMPLERS.keys()


@pytest.mark.parametrize("spec", [*EVERY.values(), "unpaired"])
def test_a_batch_is_a_function_of_seed_and_step_alone_and_resumes(spec):
    source = source_of(spec)
    through = Feed(source, 12, seed=3, sampler=spec).start()
    batches = list(itertools.islice(through, 7))
    through.close()
    resumed = Feed(source, 12, seed=3, sampler=spec).start(5)
    for step in (5, 6):
        batch = next(resumed)
        assert batch.keys() == batches[step].keys()
        for name, x in batch.items():
            np.testing.assert_array_equal(x, batches[step][name])
    resumed.close()
    other = Feed(source, 12, seed=4, sampler=spec)[5]
    assert any((other[name] != batches[5][name]).any() for name in other)


@pytest.mark.parametrize("spec", [*EVERY.values(), "unpaired"])
def test_processes_read_their_rows_of_the_global_batch(spec):
    source = source_of(spec)
    whole = Feed(source, 12, sampler=spec)[7]
    parts = [Feed(source, 12, sampler=spec, process_index=i, process_count=3)[7] for i in range(3)]
    for name, x in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), x)


@pytest.mark.parametrize("spec", [*EVERY.values(), "unpaired"])
def test_resident_and_streamed_batches_are_the_same(spec):
    source = source_of(spec)
    arrays = resident_arrays(source)
    for step in range(4):
        feed = Feed(source, 12, sampler=spec, resident=True)[step]
        assert not feed.keys() & arrays.keys()
        batch = Feed(source, 12, sampler=spec)[step]
        for name, array in arrays.items():
            ids = feed.get(f"id/{name.partition('/')[0]}", feed["id"])
            np.testing.assert_array_equal(array[ids], batch[name])


def test_shuffled_is_the_stream_of_indices():
    source = labelled(*UNEVEN)
    for step in (0, 5, 100):
        batch = Feed(source, 12, seed=2)[step]
        np.testing.assert_array_equal(batch["id"], indices(2, step, 12, len(source)))
        np.testing.assert_array_equal(batch["use"], (12 * step + np.arange(12)) // len(source))


def counts(spec, source, steps=400):
    batches = [Feed(source, 12, sampler=spec, resident=True)[step] for step in range(steps)]
    return np.bincount(np.concatenate([batch["id"] for batch in batches]), minlength=len(source)) / steps / 12


def test_balanced_draws_every_class_equally_often():
    source = labelled(*UNEVEN)
    share = np.bincount(source.labels() + 1, counts("balanced", source))
    np.testing.assert_allclose(share, [0, 0.25, 0.25, 0.25, 0.25], atol=0.03)


def test_weighted_draws_in_proportion_to_the_weights(tmp_path):
    source = labelled(*UNEVEN)
    weights = np.array([1.0, 2.0, 0.0, 4.0, 0.0])[source.labels()]
    np.testing.assert_allclose(counts("weighted((1.0, 2.0, 0.0, 4.0))", source), weights / weights.sum(), atol=0.02)
    each = np.linspace(0, 1, len(source))
    np.save(tmp_path / "weights.npy", each)
    np.testing.assert_allclose(counts(f"weighted(file='{tmp_path}/weights.npy')", source), each / each.sum(), atol=0.02)


def test_pk_gives_p_classes_and_k_examples_of_each():
    source = labelled(*[0] * 30, *[1] * 10, *[2] * 3, 3, -1)
    seen = set()
    for step in range(60):
        batch = Feed(source, 12, sampler="pk(3, 4)")[step]
        groups = batch["label"].reshape(3, 4)
        assert (groups == groups[:, :1]).all() and sorted(groups[:, 0]) == [0, 1, 2]
        for ids, label in zip(batch["id"].reshape(3, 4), groups[:, 0], strict=True):
            assert len(set(ids)) == min(4, (source.labels() == label).sum())  # a class of three repeats one
        assert len(set(batch["use"])) == 12
        seen |= set(batch["id"].tolist())
    assert len(seen) > 35


def test_unpaired_groups_are_shuffled_each_by_itself():
    source = two_groups(7, 5)
    feed = Feed(source, 35, sampler="unpaired")
    batch = feed[0]
    assert sorted(batch["image"].ravel()) == sorted([*range(7)] * 5)
    assert sorted(batch["other"].ravel()) == sorted([*range(100, 105)] * 7)
    np.testing.assert_array_equal(batch["other"].ravel(), 100 + batch["id/other"])
    assert len({(a, b) for a, b in zip(batch["id"].tolist(), batch["id/other"].tolist(), strict=True)}) > 15
    alike = Feed(two_groups(7, 7), 7, sampler="unpaired")[0]
    assert (alike["id"] != alike["id/other"]).any()


def test_evaluation_takes_unpaired_groups_in_their_order():
    batches = list(EvaluationFeed(two_groups(7, 5), 4))
    ids = np.concatenate([batch["id"][batch["mask"]] for batch in batches])
    others = np.concatenate([batch["id/other"][batch["mask"]] for batch in batches])
    assert ids.tolist() == [*range(7)] and others.tolist() == [0, 1, 2, 3, 4, 0, 1]


def test_a_blank_source_has_every_field_of_every_group():
    info = two_groups().info
    batch = first_batch(blank_source(info), 2)
    assert {name: batch[name].shape for name in info.fields} == {"image": (2, 1, 1, 1), "other": (2, 1, 1, 1)}
    scene = open_source("scenes", "train", num_train=1, num_validation=1, num_test=1)
    blank, real = first_batch(blank_source(scene.info), 2), first_batch(scene, 2)
    assert {k: (x.shape, x.dtype) for k, x in blank.items()} == {k: (x.shape, x.dtype) for k, x in real.items()}


def test_a_use_of_an_example_is_never_repeated_in_the_key_of_its_crop():
    class Seen(ArraySource):
        def fetch(self, ids, keys=None):
            self.seen.extend(map(tuple, np.column_stack([keys, ids]).tolist()))
            return super().fetch(ids, keys)

    for spec in ("balanced", "pk(3, 4)", "shuffled"):
        good = labelled(*UNEVEN)
        source = Seen(good.arrays, good.info)
        source.seen = []
        for step in range(20):
            Feed(source, 12, sampler=spec)[step]
        assert len(source.seen) == len(set(source.seen)) == 240


@pytest.mark.parametrize(
    ("spec", "source", "batch_size", "message"),
    [
        ("shufled", labelled(0, 1), 2, "did you mean 'shuffled'"),
        ("pk(2)", labelled(0, 0, 1, 1), 4, "missing a required argument: 'k'"),
        ("pk(2, 0)", labelled(0, 0, 1, 1), 4, "k is 0, but must be at least 1"),
        ("pk(3, 4)", labelled(0, 0, 1, 1, 2), 12, "needs 3 classes of 2 or more examples, but there are 2"),
        ("pk(2, 2)", labelled(0, 0, 1, 1), 8, "makes batches of 4, not of 8"),
        ("balanced", labelled(-1, -1), 2, "no example has a class"),
        ("balanced", two_groups(), 2, "no class per example"),
        ("weighted", labelled(0, 1), 2, "takes weights="),
        ("weighted((1, 2))", labelled(0, 1), 2, "2 weights, but 4 classes"),
        ("weighted((1, 2, -3, 1))", labelled(0, 2), 2, "at least 0"),
        ("weighted((0, 0, 1, 1))", labelled(0, 1), 2, "above 0"),
        ("weighted(file='absent.npy')", labelled(0, 1), 2, "cannot read weights in absent.npy"),
        ("unpaired", labelled(0, 1), 2, "no groups of unpaired"),
        ("shuffled", two_groups(), 2, "write data.sampler='unpaired'"),
    ],
)
def test_an_impossible_request_is_one_clear_line(spec, source, batch_size, message):
    with pytest.raises(DataError, match=message) as error:
        Feed(source, batch_size, sampler=spec)
    assert "\n" not in str(error.value)


def test_labels_come_without_images():
    class Blind(ArraySource):
        def fetch(self, ids, keys=None):
            raise AssertionError("an image was read")

    good = labelled(*UNEVEN)
    assert make_sampler("pk(3, 4)", Blind(good.arrays, good.info)).batch_size == 12
    assert Feed(Blind(good.arrays, good.info), 12, sampler="balanced", resident=True)[0]["id"].shape == (12,)


def test_examples_of_any_sample_can_be_fetched():
    batch = examples(two_groups(), {"id": np.array([3]), "id/other": np.array([4])})
    assert (batch["image"].item(), batch["other"].item()) == (3, 104)
