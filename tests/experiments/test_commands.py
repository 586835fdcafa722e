"""Each command does what it says, on a small network."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.build import cost
from experiments.build.parts import Parts
from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from experiments.pages.schema import page as complete
from experiments.runs.run import build
from models.layers.patches import interpolate_positions
from training.checkpoint import Checkpoints, leaves
from training.debug import origin

REMAT = "activations with remat"


def texts(page, **values):
    return override(page, [(key, str(value)) for key, value in values.items()])


def test_the_same_from_python(small, tmp_path):
    run = build(texts(load("mlp_digits"), **small), tmp_path)
    summary = run.train()
    assert summary["step"] == 4
    assert summary["test/accuracy"] == run.evaluate("test")["accuracy"]


def test_eval_measures_any_split_and_keeps_what_it_found(fovea, trained):
    result = fovea("eval", "--workdir", trained)
    assert result.code == 0
    assert re.search(r"\Waccuracy\W+\d+\.\d\d %", result.out)
    assert re.search(r"per_class_accuracy\W+\d+\.\d\d % to \d+\.\d\d %", result.out)
    assert "confusion" not in result.out
    fovea("eval", "--workdir", trained, "--split", "train[:100]+test[:17]", "--step", 2)
    fovea("eval", "--workdir", trained, "--split", "validation")
    fovea("eval", "--workdir", trained)
    records = json.loads((trained / "eval.json").read_text())
    best = Checkpoints(trained / "checkpoints").best()
    assert [(r["split"], r["step"]) for r in records] == [
        ("train[:100]+test[:17]", 2),
        ("validation", best),
        ("test", best),  # measured twice, kept once
    ]
    assert np.sum(records[0]["confusion"]) == 117
    assert records[2]["accuracy"] == json.loads((trained / "summary.json").read_text())["test/accuracy"]
    assert "NaN" not in (trained / "eval.json").read_text()


def test_eval_says_which_checkpoints_there_are(fovea, trained):
    result = fovea("eval", "--workdir", trained, "--step", 3)
    assert (result.code, result.out) == (2, "")
    assert re.fullmatch(r"fovea: no checkpoint of step 3 in .*: there is \[2, 4\]\n", result.error)


def test_predict_reads_images_as_the_data_set_does(fovea, trained, tmp_path):
    source = build(override(load("mlp_digits"), [])).parts.source("test")
    pixels, files = source.fetch(np.arange(3))["image"], []
    for i in range(3):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(pixels[i, ..., 0]).save(files[-1])
    colour = tmp_path / "colour.jpg"  # another size, in colour
    Image.fromarray(np.repeat(np.repeat(np.repeat(pixels[0], 9, 0), 7, 1), 3, 2)).save(colour)

    result = fovea("predict", "--workdir", trained, *files, colour)
    lines = [line.split(": ") for line in result.out.splitlines()]
    assert result.code == 0
    assert [name for name, _ in lines] == [str(file) for file in (*files, colour)]
    run = build(override(load("mlp_digits"), []), trained)
    outputs = run.predict(pixels)
    for i in range(3):
        label, probability = lines[i][1].split()
        assert int(label) == outputs["prediction"][i]
        assert float(probability) == pytest.approx(outputs["probability"][i], abs=1e-4)


def test_predict_names_the_image_that_is_none(fovea, trained, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    missing = fovea("predict", "--workdir", trained, tmp_path / "missing.png")
    assert (missing.code, missing.error) == (2, f"fovea: there is no image {tmp_path / 'missing.png'}\n")
    corrupt = fovea("predict", "--workdir", trained, broken)
    assert corrupt.code == 2
    assert re.fullmatch(rf"fovea: cannot read image {broken}: .*\n", corrupt.error)


def test_show_counts_without_training(fovea):
    result = fovea("show", "--config", "lenet5_digits", **{"paper.parameters": 61_706, "paper.macs": 1})
    assert result.code == 0
    assert re.search(r"^schedule\.peak +0\.002$", result.out, re.M)
    assert re.search(r"│ c3 +│ 2,416 +│", result.out)
    assert re.search(r"^parameters +61,706 = published$", result.out, re.M)
    assert re.search(r"^multiply-adds, 1 example 416,520 ≠ published 1$", result.out, re.M)


def test_show_needs_no_data(fovea, tmp_path):
    result = fovea("show", "--config", "resnet20_cifar10", **{"data.data_dir": tmp_path})
    assert result.code == 0
    assert "269,722" in result.out
    assert "40,551,040" in result.out
    assert not list(tmp_path.iterdir())


def test_the_memory_of_the_state_is_that_of_its_arrays():
    parts = cost.outline(texts(load("mlp_digits"), **{"train.ema": 0.9, "devices.kind": "mesh"}))
    sizes, state = cost.memory(parts), Parts(texts(load("mlp_digits"), **{"train.ema": 0.9})).initial_state()
    measured = lambda tree: sum(x.nbytes for x in jax.tree.leaves(tree))
    assert sizes["parameters"] == sizes["gradients"] == sizes["moving average"] == measured(state.params)
    assert sizes["optimizer state"] == measured(state.opt_state)
    sharded = cost.memory(cost.outline(texts(load("mlp_digits"), **{"devices.kind": "mesh", "devices.fsdp": 2})))
    assert sharded["parameters"] == measured(state.params) / 2
    # What backward needs of relu(W x): the 128 hidden units and their signs; then a few numbers of each class.
    examples = 128 // jax.device_count()
    assert 5 * 128 * examples <= sizes["activations"] <= 4 * examples * (2 * 128 + 16 * 10)


def test_show_says_what_remat_saves(fovea):
    """From shapes, so on any backend: what differentiation keeps of a ViT, and of it with remat."""
    out = fovea("show", "--config", "vit_fashion_mnist_small", **{"model.depth": 2}).out
    kept, lighter = (float(re.search(rf"^{name} +([\d.]+) MiB", out, re.M)[1]) for name in ("activations", REMAT))
    assert lighter < 0.3 * kept
    saved = float(re.search(r"([\d.]+) MiB less$", out, re.M)[1])
    assert saved == pytest.approx(kept - lighter, abs=0.011)
    assert REMAT not in fovea("show", "--config", "lenet5_digits").out  # which has no such option
    assert REMAT not in fovea("show", "--config", "vit_fashion_mnist_small", **{"model.remat": "true"}).out


def test_data_draws_the_first_batch(fovea, tmp_path):
    path = tmp_path / "batch.png"
    result = fovea("data", "--config", "mlp_digits", "--out", path, **{"data.augment": "pad_crop(1), mixup(0.4)"})
    assert result.code == 0
    with Image.open(path) as image:
        assert min(image.size) > 200
    result = fovea("data", "--config", "mlp_digits", "--out", tmp_path / "nowhere" / "batch.png")
    assert (result.code, result.error.count("\n")) == (2, 1)


def test_overfit_learns_one_batch_by_heart_and_writes_nothing(fovea, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = ("train", "--config", "mlp_digits", "--overfit", "--workdir", tmp_path / "run")
    hindered = {"task.label_smoothing": 0.2, "optimizer.weight_decay": 0.1, "data.augment": "flip"}
    result = fovea(*page, **hindered, **{"model.dropout_rate": 0.5, "train.batch_size": 16})
    assert result.code == 0
    assert re.search(r"^overfit: pass: loss 0\.00\d+ after \d+ steps", result.out, re.M)
    result = fovea(*page, **{"schedule.peak": 0.0, "train.steps": 2, "train.log_every": 1, "train.batch_size": 16})
    assert result.code == 1
    assert re.search(r"^overfit: FAIL: loss \d\.\d+ after 2 steps", result.out, re.M)
    assert not list(tmp_path.iterdir())


def test_profile_leaves_a_trace_and_changes_nothing(fovea, small, trained, tmp_path):
    run = ("train", "--config", "mlp_digits", "--workdir", tmp_path, "--profile", 1)
    assert fovea(*run, **small).code == 0
    assert list((tmp_path / "profile").rglob("*.trace.json.gz"))
    result = fovea(*run[:-1], 2, **small)
    assert (result.code, result.error) == (2, "fovea: --profile 2: train.steps=4 ends before the trace does\n")
    ours, theirs = (Checkpoints(path / "checkpoints").arrays() for path in (tmp_path, trained))
    assert all(np.array_equal(ours[path], theirs[path]) for path in theirs)


def test_debug_says_where_a_nan_came_from(fovea, small, tmp_path, monkeypatch):
    from training.tasks import classification

    def faulty(logits, *_):
        return jnp.log(logits.sum(-1) * 0 - 1)

    monkeypatch.setattr(classification, "softmax_cross_entropy", faulty)
    result = fovea("train", "--config", "mlp_digits", "--workdir", tmp_path, "--debug", **small)
    assert result.code == 2
    line = faulty.__code__.co_firstlineno + 1
    assert re.search(rf"^fovea: step 1 is not finite: log makes NaN at .*test_commands\.py:{line}:", result.error, re.M)
    assert len([line for line in result.error.splitlines() if line.startswith("fovea:")]) == 1


def test_debug_trains_like_any_other_run(fovea, small, trained, tmp_path):
    assert fovea("train", "--config", "mlp_digits", "--workdir", tmp_path, "--debug", **small).code == 0
    ours, theirs = (Checkpoints(path / "checkpoints").arrays() for path in (tmp_path, trained))
    assert all(np.allclose(ours[path], theirs[path], atol=1e-4) for path in theirs)


def test_origin_of_what_is_not_finite():
    def root(x):
        return jnp.sqrt(x).sum()

    found = origin(jax.grad(lambda x: root(x * 0)), jnp.ones(3))  # 0 · ∞ in the backward pass
    assert re.search(rf"mul makes NaN at .*; div makes infinity at .*:{root.__code__.co_firstlineno + 1}:", found)
    assert origin(jax.jit(root), jnp.ones(3)) is None
    masked = jax.jit(lambda x: jax.nn.softmax(jnp.where(x > 0, x, -jnp.inf)).sum())
    assert origin(masked, jnp.arange(3.0)) is None or "NaN" not in origin(masked, jnp.arange(3.0))


def test_init_from_takes_the_parameters_of_another_run(small, trained, tmp_path):
    page = texts(load("mlp_digits"), **small, **{"train.init_from": trained, "train.ema": 0.9, "train.seed": 5})
    theirs = Checkpoints(trained / "checkpoints").arrays()
    state = Parts(page).initial_state()
    for tree in (state.params, state.ema):
        for layer, leaf in tree["model"].items():
            assert np.array_equal(leaf["kernel"], theirs[f"params/model/{layer}/kernel"])
    assert state.step == 0


def test_init_from_another_resolution(small, tmp_path):
    """Section 3.2 of the ViT paper: the position embeddings are interpolated, all else is as it was."""
    vit = {"model": dict(name="vit", patch=4, width=8, depth=1, heads=2, mlp=8), "data": dict(name="digits", size=8)}
    sections = vit | dict(task=dict(name="classification"), optimizer=dict(name="sgd"), schedule=dict(name="constant"))
    coarse = texts(complete(**sections), **small)
    build(coarse, tmp_path).train()
    learnt = build(coarse, tmp_path).restore()[0].params["model"]
    fine = texts(coarse, **{"data.size": 16, "train.init_from": tmp_path})
    taken = build(fine).parts.initial_state().params["model"]
    np.testing.assert_array_equal(taken["positions"], interpolate_positions(learnt["positions"], (2, 2), (4, 4)))
    for path, x in leaves({**taken, "positions": 0}).items():
        np.testing.assert_array_equal(x, leaves({**learnt, "positions": 0})[path], err_msg=path)
    with pytest.raises(ValueError, match="is of another model: params/model/positions"):
        build(texts(fine, **{"model.pool": "gap"})).parts.initial_state()


def test_init_from_with_another_number_of_classes(fovea, small, trained, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (80, 8, 8), np.uint8)
    np.savez(tmp_path / "three.npz", image=images, label=np.arange(80) % 3)
    three = {"data.name": f"npz:{tmp_path / 'three.npz'}", "data.train": "train", "data.validation": ""}
    three |= {"data.test": "train", "train.init_from": trained, "train.evaluate_batch_size": 16}
    run = ("train", "--config", "mlp_digits", "--workdir", tmp_path / "run")
    result = fovea(*run, **{**small, **three})
    line = f"fovea: {trained} has 10 other classes: output/bias, output/kernel are new"
    assert result.code == 0 and line in result.error.splitlines()
    result = fovea(*run[:-1], tmp_path / "said", **{**small, **three, "train.init_except": "/output/"})
    assert result.code == 0 and "other classes" not in result.error
    state = Parts(texts(load("mlp_digits"), **{**small, **three, "train.init_except": "/output/"})).initial_state()
    theirs = Checkpoints(trained / "checkpoints").arrays()
    assert np.array_equal(state.params["model"]["hidden_0"]["kernel"], theirs["params/model/hidden_0/kernel"])
    assert state.params["model"]["output"]["kernel"].shape == (128, 3)

    result = fovea(*run[:-1], tmp_path / "other", **{**small, **three, "train.init_except": "/outptu/"})
    assert result.code == 2
    assert result.error.startswith("fovea: train.init_except: '/outptu/' matches no parameter")
