"""Evaluation sets, frozen networks and pictures of users, through pages: what would be silently wrong is one line."""

import json
import types

import jax
import numpy as np
import pytest
from PIL import Image

from data.errors import DataError
from data.preparation import Preparation
from experiments.build.parts import Parts
from experiments.errors import PageError
from experiments.evaluation import answers
from experiments.evaluation.answers import Answer, as_json
from experiments.pages import override, page
from experiments.pages.stored import read_page
from experiments.runs.run import build
from models.classification import mlp
from models.port import to_torch
from training.checkpoint import Checkpoints
from training.errors import TrainingError
from training.records import read

EVERY = dict(batch_size=16, steps=4, log_every=2, evaluate_every=2, checkpoint_every=2, evaluate_batch_size=32)


def digits(**sections):
    """An MLP on digits; `sections` are updated."""
    given = dict(
        model=dict(name="mlp", hidden=(8,)),
        task=dict(name="classification"),
        data=dict(name="digits", train="train[:64]", validation="test[:20]", test="test[20:40]"),
        optimizer=dict(name="adam"),
        schedule=dict(name="constant", peak=1e-2),
        train=EVERY,
    )
    return page(**{name: {**given.get(name, {}), **sections.get(name, {})} for name in {**given, **sections}})


@pytest.fixture
def animals(tmp_path):
    """animals("cat", "bee") -> a folder with a sub-folder of pictures for each."""

    def write(*classes, name="set"):
        for number, label in enumerate(classes):
            folder = tmp_path / name / label
            folder.mkdir(parents=True)
            for i in range(4):
                Image.fromarray(np.full((8, 8, 3), 40 * number + i, np.uint8)).save(folder / f"{i}.png")
        return f"folder:{tmp_path / name}"

    return write


def test_each_set_is_measured_when_it_is_due_by_its_own_measures(tmp_path):
    config = digits(
        evaluate=dict(half=dict(split="test[:50%]", every=2, also=("top_k(2)",)), late=dict(split="test[40:60]"))
    )
    run = build(config, tmp_path)
    summary = run.train(quiet=True)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    steps = lambda key: [record["step"] for record in records if key in record]
    assert steps("half/top2") == steps("validation/accuracy") == [2, 4]
    assert steps("late/accuracy") == steps("test/accuracy") == [4] and "test/top2" not in summary
    assert summary["readings"]["late/error"] == {"better": "min", "unit": "%"}
    assert run.evaluate("late")["accuracy"] == summary["late/accuracy"]
    readings = json.loads((tmp_path / "readings.json").read_text())
    assert readings["half/top2"] == {"better": "max", "unit": "%"}


def test_another_data_set_must_have_the_classes_of_training(animals):
    training, other = animals("ape", "bee", "cat", name="one"), animals("bee", "cat", name="two")
    data = dict(name=training, validation="", train="train", test="train")
    parts = Parts(digits(data=data, evaluate=dict(other=dict(name=other, split="train"))))
    with pytest.raises(PageError, match="evaluation set 'other': 2 names of 'label', 3 in training"):
        parts.source("other")


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (dict(train=dict(split="test")), "'train' names the training split"),
        (dict(more=dict(split="test", every=3)), "is not a multiple of train.evaluate_every=2"),
        (dict(more=dict(split="test", every=-2)), "is not a multiple of"),
    ],
)
def test_a_set_that_cannot_be_is_one_line(sets, message):
    with pytest.raises(PageError, match=message):
        _ = Parts(digits(evaluate=sets)).sets


def embedding(**sections):
    """An embedding of digits; `sections` replace the page's."""
    given = dict(
        model=dict(name="embedding", dim=4, backbone=dict(name="mlp", hidden=(8,))),
        task=dict(name="metric_learning"),
        data=dict(name="digits", train="train[:200]", validation="", test="test[:20]", sampler="pk(4, 4)"),
        optimizer=dict(name="sgd"),
        schedule=dict(name="constant"),
        train=EVERY,
    )
    return page(**given | sections)


def test_a_loss_over_the_whole_batch_refuses_microbatches():
    config = embedding(train=dict(batch_size=16, accumulate=2))
    with pytest.raises(PageError, match="accumulate=2: the loss of task 'metric_learning' compares"):
        _ = Parts(config).task


@pytest.mark.parametrize(
    ("task", "network", "key"),
    [
        ("detection", dict(name="centernet", backbone=dict(name="resnet_cifar", depth=8), width=2), "evaluate_augment"),
        ("captioning", dict(name="show_and_tell", backbone=dict(name="resnet_cifar", depth=8), width=2), "augment"),
    ],
)
def test_pixels_do_not_move_away_from_boxes_and_words(task, network, key):
    config = page(
        model=network,
        task=dict(name=task),
        data={"name": "scenes", "num_train": 8, "num_test": 8, "size": 32, key: ("flip(1.0)",)},
        optimizer=dict(name="sgd"),
        schedule=dict(name="constant"),
        train=dict(batch_size=8),
    )
    with pytest.raises(PageError, match=rf"data.{key}: 'flip\(1.0\)' moves pixels"):
        _ = Parts(config).task


def vae(seed):
    return page(
        model=dict(name="vae", hidden=(8,), latent=2),
        task=dict(name="vae", importance_samples=2),
        data=dict(name="digits", train="train[:64]", test="test[:32]", scale="unit"),
        optimizer=dict(name="adam"),
        schedule=dict(name="constant"),
        train={**EVERY, "seed": seed},
    )


def test_a_checkpoint_is_restored_once(tmp_path, monkeypatch):
    """For any number of answers and samples."""
    build(vae(0), tmp_path).train(quiet=True)
    restored, restore = [], Checkpoints.restore
    monkeypatch.setattr(Checkpoints, "restore", lambda *given: restored.append(given) or restore(*given))
    run = build(vae(0), tmp_path)
    images = run.parts.source("test").fetch(np.arange(3))["image"]
    for _ in range(3):
        run.predict(images)
        run.sample(3)
    assert len(restored) == 1


def test_siblings_are_measured_as_runs_of_their_own(tmp_path):
    """A VAE's numbers depend on the seed through the noise of evaluation."""
    first, alone = build(vae(0), tmp_path / "0"), build(vae(1), tmp_path / "1")
    state = alone.devices.put_state(alone.parts.initial_state())
    sibling = first.sibling(vae(1), tmp_path / "2")
    assert sibling._measure(state, "test") == alone._measure(state, "test") != first._measure(state, "test")


def test_frozen_networks_are_what_a_run_or_a_file_holds(tmp_path):
    trained = build(digits(), tmp_path / "run")
    trained.train(quiet=True)
    frozen = lambda **fields: digits(frozen=dict(features={"name": "mlp", "hidden": (8,), **fields}))
    parts = Parts(frozen(weights=str(tmp_path / "run")))
    params = trained.restore()[0].params["model"]
    kernel = next(iter(parts.frozen["features"]["params"].values()))["kernel"]
    assert parts.frozen is parts.frozen and any(np.array_equal(kernel, x["kernel"]) for x in params.values())
    assert len(parts.frozen["features"]["params"]) == len(params) - 1, "the head is left out"
    np.savez(tmp_path / "torch.npz", **to_torch({"params": params}, mlp.PORTS["torch"]))
    of_file = Parts(frozen(weights=str(tmp_path / "torch.npz"))).frozen
    jax.tree.map(np.testing.assert_array_equal, of_file, parts.frozen)
    np.savez(tmp_path / "other.npz", conv=np.zeros(3))
    with pytest.raises(PageError, match=r"frozen.features.weights='.*other.npz': no place for conv \(and 2 more\)"):
        _ = Parts(frozen(weights=str(tmp_path / "other.npz"))).frozen
    with pytest.raises(PageError, match=r"frozen.features.weights='.*torch.npz': no place for hidden_1.bias \(and"):
        deeper = {f"hidden_1.{name}": np.zeros(3) for name in ("weight", "bias")}
        np.savez(tmp_path / "torch.npz", **to_torch({"params": params}, mlp.PORTS["torch"]), **deeper)
        _ = Parts(frozen(weights=str(tmp_path / "torch.npz"))).frozen
    with pytest.raises(PageError, match=r"frozen.features.weights=.*was trained with model.activation='relu'"):
        _ = Parts(frozen(weights=str(tmp_path / "run"), activation="tanh")).frozen
    with pytest.raises(PageError, match="there is no such work directory or file"):
        _ = Parts(frozen(weights=str(tmp_path / "nowhere"))).frozen
    again = Parts(frozen()).frozen["features"], Parts(frozen()).frozen["features"]
    jax.tree.map(np.testing.assert_array_equal, *again)


def test_a_frozen_network_of_a_run_sees_images_scaled_as_in_its_training(tmp_path):
    workdir, images = str(tmp_path / "run"), np.arange(64 * 64, dtype=np.uint8).reshape(64, 8, 8, 1) % 64  # dark
    build(digits(), workdir).train(quiet=True)
    frozen = dict(features=dict(name="mlp", hidden=(8,), weights=workdir))
    assert Parts(digits(frozen=frozen)).frozen
    with pytest.raises(PageError, match=r"frozen.features.weights=.*trained with data.scale='standardise', not 'unit'"):
        _ = Parts(digits(frozen=frozen, data=dict(name="digits", validation="", test="test", scale="unit"))).frozen
    np.savez(tmp_path / "dark.npz", image=images, label=np.arange(64) % 10)
    data = dict(name=f"npz:{tmp_path / 'dark.npz'}", train="train", validation="", test="")
    with pytest.raises(PageError, match=r"frozen.features.weights=.*standardised with the mean \(.*\) of digits, not"):
        _ = Parts(digits(frozen=frozen, data=data)).frozen


def test_predict_answers_what_it_can_read(fovea, trained, tmp_path):
    """A folder, odd pictures, a broken one, two of one stem: JSON for all that can be read, and exit code 2."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, size in (("a.png", (8, 8)), ("a.jpg", (30, 17)), ("b.png", (1, 1))):
        Image.new("RGB", size, (200, 100, 50)).save(folder / name)
    (folder / "broken.png").write_bytes(b"no image")
    result = fovea("predict", "--workdir", trained, "--json", tmp_path / "out.json", folder)
    assert result.code == 2 and result.error.count("\n") == 1 and "broken.png" in result.error
    records = json.loads((tmp_path / "out.json").read_text())
    assert [record["file"] for record in records] == [str(folder / name) for name in ("a.jpg", "a.png", "b.png")]
    assert all(record["prediction"] in "0123456789" and len(record["logits"]) == 10 for record in records)
    assert len(result.out.splitlines()) == 3


def test_a_folder_of_pictures_is_read_and_answered_batch_by_batch(trained, tmp_path, monkeypatch):
    files, seen = [tmp_path / f"{i:02d}.png" for i in range(20)], []
    for i, file in enumerate(files):
        Image.new("L", (8, 8), 12 * i).save(file)
    read = Preparation.read
    monkeypatch.setattr(Preparation, "read", lambda self, file, *rest: seen.append(file) or read(self, file, *rest))
    run = build(override(read_page(trained), [("train.evaluate_batch_size", "8")]), trained)
    found = []
    for answer in answers.answers(run, files):
        found.append(answer)
        assert len(seen) == min(-(-len(found) // 8) * 8, 20), "no batch is read before it is asked for"
    assert [answer.file for answer in found] == files == seen
    outputs = run.predict(np.stack([np.asarray(Image.open(file))[..., None] for file in files]))
    np.testing.assert_allclose([x.outputs["logits"] for x in found], outputs["logits"], rtol=1e-5, atol=1e-6)


def test_boxes_of_padding_are_not_answers():
    task = types.SimpleNamespace(outputs={"boxes": "boxes", "labels": "labels", "scores": "number"}, views=())
    boxes = np.array([[0, 0, 2, 2], [0, 3, 2, 3], [0, 0, 1, 1]], float)
    outputs = {"boxes": boxes, "labels": np.array([1, 0, -1]), "scores": np.array([0.9, 0.8, 0.7])}
    answer = Answer("a.png", np.zeros((4, 4, 3), np.uint8), outputs)
    found = as_json(answer, task, types.SimpleNamespace(classes=("x", "y")))
    assert found == {"file": "a.png", "boxes": [[0, 0, 2, 2]], "labels": ["y"], "scores": [0.9]}


def test_a_set_of_another_source_has_that_sources_options(animals, tmp_path):
    training, other = animals("bee", "cat", name="one"), animals("bee", "cat", name="two")
    for file in (tmp_path / "two").rglob("*.png"):
        Image.open(file).resize((16, 12)).save(file)
    data = dict(name=training, validation="", train="train", test="train")
    sets = dict(other=dict(name=other, split="train", image_size=8, crop="resize"))
    parts = Parts(digits(data=data, evaluate=sets))
    assert parts.source("other").fetch(np.arange(2))["image"].shape == (2, 8, 8, 3)
    with pytest.raises(PageError, match="unknown key 'image_sise': did you mean 'image_size'"):
        digits(data=data, evaluate=dict(other=dict(name=other, image_sise=8)))


def test_a_set_of_another_size_is_refused_before_training_where_the_network_cannot_take_it(fovea, small, tmp_path):
    page = tmp_path / "mine.py"
    page.write_text(
        "from experiments.pages import page\n\n\ndef get_config():\n"
        "    sets = dict(big=dict(name='digits', size=16, split='test'))\n"
        "    model, data = dict(name=MODEL), dict(name='digits', size=8)\n"
        "    how = dict(optimizer=dict(name='sgd'), schedule=dict(name='constant', peak=0.1))\n"
        "    return page(model=model, task=dict(name='classification'), data=data, evaluate=sets, **how)\n"
    )
    text = page.read_text()
    page.write_text(text.replace("MODEL", "'mlp'"))
    refused = fovea("train", "--config", page, "--workdir", tmp_path / "run", **small)
    line = "fovea: evaluation set 'big' has images of 16×16×1, and the network is made for 8×8×1: resize them\n"
    assert (refused.code, refused.error) == (2, line)
    page.write_text(text.replace("MODEL", "'resnet_cifar', depth=8"))  # it pools over any size
    assert fovea("train", "--config", page, "--workdir", tmp_path / "pooled", **small).code == 0


def test_top_k_of_too_few_classes_is_refused_before_training(tmp_path, animals):
    data = dict(name=animals("ape", "bee", "cat"), train="train", validation="", test="train")
    config = digits(data=data, evaluate=dict(more=dict(split="train", also=("top_k(5)",))))
    with pytest.raises(TrainingError, match=r"top_k\(5\): k lies between 1 and 2, there are 3 classes"):
        build(config, tmp_path / "run").train(quiet=True)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_recall_at_more_than_the_set_has_is_refused_before_training(tmp_path):
    data = dict(name="digits", train="train[:200]", validation="test[:20]", test="", sampler="pk(4, 4)")
    config = embedding(task=dict(name="metric_learning", recall=(1, 30)), data=data)
    with pytest.raises(TrainingError, match="recall@30 needs 31 examples with a class or more, the split has 20"):
        build(config, tmp_path / "run").train(quiet=True)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_what_is_retrieved_of_the_test_set_is_a_picture(tmp_path):
    build(embedding(), tmp_path).train()
    assert (tmp_path / "retrieved.png").is_file()


@pytest.mark.parametrize("resident", ["yes", "no"])
def test_a_run_on_pictures_that_are_kept_decoded_is_the_same_run(animals, tmp_path, resident):
    name = animals("ant", "bee", "cat")
    data = dict(name=name, train="train", validation="train[:4]", test="", image_size=6, resident=resident)
    other = dict(name=name, split="train[4:]", every=2, image_size=6)
    config = digits(data=data, train=dict(batch_size=8, evaluate_batch_size=8), evaluate=dict(other=other))
    runs = {"": config, "kept": override(config, [("data.cache", str(tmp_path / "cache"))])}
    for key, one in runs.items():
        build(one, tmp_path / f"run{key}").train(quiet=True)
    timed = ("time", "memory")
    plain, kept = (
        [{k: v for k, v in record.items() if not k.startswith(timed)} for record in read(tmp_path / f"run{key}")]
        for key in runs
    )
    assert plain == kept and any("other/accuracy" in record for record in kept)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2  # train and validation, not the set of its own data
    # The same run without the cache: it is found to be complete.
    build(override(runs["kept"], [("data.cache", "")]), tmp_path / "runkept").train(quiet=True)


def test_what_cannot_be_kept_decoded_is_one_line(animals, tmp_path):
    kept = dict(train="train", validation="", test="", cache=str(tmp_path / "cache"))
    random = dict(name=animals("ant", "bee"), image_size=6, crop="random")
    for data, line in (
        (random, "data.crop='random' takes another part"),
        (dict(name="digits"), "these data have none"),
    ):
        with pytest.raises(DataError, match=line):
            Parts(digits(data={**data, **kept})).source("train")
