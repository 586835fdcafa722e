"""Generative runs from their pages: stopped and resumed to the bit; the same samples on one device and on eight."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from experiments.cli import main
from experiments.pages.overrides import override
from experiments.pages.schema import page
from experiments.pages.stored import canonical
from experiments.runs.run import build
from tests.flags import QUICK
from training.checkpoint import leaves

ROOT = pathlib.Path(__file__).parents[2]
EVERY = dict(steps=4, log_every=2, evaluate_every=2, checkpoint_every=2, batch_size=16, evaluate_batch_size=16)

GAN = page(
    model=dict(
        generator=dict(name="gan_generator", hidden=(8,)),
        critic=dict(name="gan_discriminator", hidden=(8,)),
    ),
    task=dict(name="gan", loss="wasserstein", updates=2, gradient_penalty=0.1),
    data=dict(name="gaussians", num_examples=512),
    optimizer=dict(name="adam", b1=0.0, b2=0.9),
    schedule=dict(name="constant", peak=1e-2),
    train=dict(ema=0.9, ema_players=("generator",), **EVERY),
)
DDPM = page(
    model=dict(
        name="ddpm_unet",
        width=8,
        multipliers=(1,),
        blocks=1,
        attention=(),
        groups=4,
        conditional=True,
        dropout_rate=0.1,
    ),
    task=dict(name="diffusion", steps=20, sampling_steps=10, bound_terms=2, guidance=2.0),
    data=dict(name="digits", train="train[:80]", validation="test[:16]", test="test[16:100]", scale="symmetric"),
    optimizer=dict(name="adam"),
    schedule=dict(name="constant", peak=1e-2),
    train=dict(ema=0.9, **EVERY),
)


class Killed(Exception):
    pass


def killed_after(calls):
    def wrap(step):
        def call(*arguments):
            nonlocal calls
            if not calls:
                raise Killed
            calls -= 1
            return step(*arguments)

        return call

    return wrap


@pytest.fixture(scope="module", params=[GAN, DDPM], ids=["gan", "ddpm"])
def trained(request, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    build(request.param, workdir).train()
    return request.param, workdir


def test_resumes_to_the_bit(trained, tmp_path):
    config, whole = trained
    run = build(config, tmp_path)
    with pytest.raises(Killed):
        run.train(killed_after(3))
    run.checkpoints.wait()
    assert run.checkpoints.steps() == [2]
    resumed = build(config, tmp_path)
    resumed.train()
    expected, found = (leaves(r.restore(4)[0]) for r in (build(config, whole), resumed))
    for path, x in expected.items():
        np.testing.assert_array_equal(found[path], x, err_msg=path)
    for step in (2, 4):  # drawn from the same noise
        pictures = [(w / "samples" / f"step_{step:08d}.png").read_bytes() for w in (whole, tmp_path)]
        assert pictures[0] == pictures[1]


def test_trains_alike_under_pmap_and_mesh(trained, tmp_path):
    """Under SGD: Adam makes whole steps of what is only rounding. Dropout is off, which `pmap` draws on each device."""
    config, _ = trained
    params = {}
    for kind in ("pmap", "mesh"):
        one_step = [("optimizer.name", "sgd"), ("optimizer.momentum", "0.9"), ("train.steps", "1")]
        one_step += [*((f"train.{key}_every", "1") for key in ("log", "evaluate", "checkpoint"))]
        if config.task.name == "diffusion":
            one_step += [("model.dropout_rate", "0.0")]
        run = build(override(config, [("devices.kind", kind), *one_step]), tmp_path / kind)
        state = run.devices.put_state(run.parts.initial_state())
        resident, hyper = run.parts.resident("train"), run.devices.put(run.parts.hyper)
        step = run.devices.train_step(run.parts.step, state)
        state, _ = step(state, resident, next(run.parts.feeds(0)), run.devices.put({}), hyper)
        params[kind] = leaves(run.devices.get(state))
    for path, x in params["pmap"].items():
        np.testing.assert_allclose(params["mesh"][path], x, rtol=1e-4, atol=1e-5, err_msg=path)


def test_shows_its_progress(trained):
    config, workdir = trained
    with Image.open(workdir / "samples.gif") as film:
        assert film.n_frames == 2
    numbers = json.loads((workdir / "summary.json").read_text())
    assert numbers["weights"] == "ema"
    names = {"gan": {"test/real", "test/fake"}, "diffusion": {"test/loss", "test/bits_per_dim"}}
    assert names[config.task.name] <= numbers.keys()


SAMPLE = """
import json, sys
import numpy as np
from experiments.runs.run import build
from experiments.pages.stored import from_canonical

workdir, out = sys.argv[1:]
run = build(from_canonical(json.load(open(f"{workdir}/config.json"))), workdir)
np.save(out, run.sample(12, seed=3))
"""


def test_samples_do_not_depend_on_the_devices(trained, tmp_path):
    config, workdir = trained
    assert jax.device_count() == 8
    eight = build(config, workdir).sample(12, seed=3)
    assert eight.shape[0] == 12 and np.isfinite(eight).all()
    environment = {**os.environ, "XLA_FLAGS": QUICK, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    out = tmp_path / "one.npy"
    subprocess.run([sys.executable, "-c", SAMPLE, workdir, out], cwd=ROOT, env=environment, check=True)
    np.testing.assert_allclose(np.load(out), eight, atol=1e-4)
    fewer = build(config, workdir).sample(3, seed=3)
    np.testing.assert_allclose(fewer, eight[:3], atol=1e-4)


def test_the_command(trained, tmp_path, capsys):
    config, workdir = trained
    out = tmp_path / "pictures" / "grid.png"
    command = ["sample", "--workdir", str(workdir), "--num", "20", "--out", str(out)]
    assert main(command) == 0
    assert "20 samples of step" in (line := capsys.readouterr().out) and "ema weights" in line
    assert Image.open(out).size[0] > 100

    def refused(*more):
        assert main([*command, *more]) == 2
        return capsys.readouterr().err

    if config.task.name == "diffusion":
        assert main([*command, "--given", "label=7", "--set", "steps=4", "--config.task.sampler=ddim"]) == 0
        assert "there is no class 'seven'" in refused("--given", "label=seven")
        assert "21 sampling steps are not between 1 and the 20 of training" in refused("--set", "steps=21")
        assert "no condition 'latent'" in refused("--given", "latent=plane")
        assert "is not between 1 and the 20" in refused("--config.task.sampling_steps=21")
    else:
        assert "no condition 'label'" in refused("--given", "label=1")
        assert "no option 'steps'" in refused("--set", "steps=2")
    assert canonical(config) == json.loads((workdir / "config.json").read_text())


CLASSIFIER = page(
    model=dict(name="mlp", hidden=(16,)),
    task=dict(name="classification"),
    data=dict(name="digits", train="train[:500]", test="test"),
    optimizer=dict(name="adam"),
    schedule=dict(name="constant", peak=1e-2),
    train=dict(batch_size=64, steps=40, log_every=40, evaluate_every=40, checkpoint_every=40),
)


def test_evaluated_for_each_value_of_a_key(trained, capsys, optimised):
    config, workdir = trained
    key, values = {"diffusion": ("task.bound_terms", "1,2,4"), "vae": ("task.importance_samples", "2,4,8")}.get(
        config.task.name, ("train.judge_samples", "20,40,70")
    )
    judged = ["--config.train.judge=pixels", "--config.train.judge_samples=70"]
    command = ["eval", "--workdir", str(workdir), "--split", "test[:70]", *judged, f"--over={key}={values}"]
    assert main([*command, "--over=train.seed=0,1"]) == 0
    records = json.loads((workdir / "eval.json").read_text())[-6:]
    assert [tuple(r["given"].values())[-2:] for r in records] == [(v, s) for v in values.split(",") for s in "01"]
    name = {"diffusion": "bits_per_dim", "vae": "nll"}.get(config.task.name, "kd")
    assert len({r[name] for r in records}) > 1
    assert name in capsys.readouterr().out
    assert Image.open(workdir / f"over_{key.partition('.')[2]}.png").size[0] > 300
    assert main([*command[:-1], f"--over={key}=1,x"]) == 2
    assert f"{key}=x" in capsys.readouterr().err


def test_a_judge_that_is_not_there_is_said_before_training(trained, tmp_path):
    config = override(trained[0], [("train.judge", "nowhere")])
    with pytest.raises(ValueError, match="neither 'pixels' nor the work directory of a classifier"):
        build(config, tmp_path).train()
    assert not (tmp_path / "metrics.jsonl").exists()


def test_judged_by_a_classifier(trained, tmp_path, capsys):
    config, workdir = trained
    judge = str(tmp_path / "judge")
    build(CLASSIFIER, judge).train()
    command = ["eval", "--workdir", str(workdir), f"--config.train.judge={judge}", "--config.train.judge_samples=50"]
    if config.task.name == "gan":
        assert main(command) == 2
        assert "not a classification of images (1, 1, 2)" in capsys.readouterr().err
        command[-2] = "--config.train.judge=pixels"
        assert main(command) == 0
    else:
        assert main(command) == 0
        numbers = json.loads((workdir / "eval.json").read_text())[-1]
        assert numbers["judge"].startswith("mlp-") and len(numbers["recognised_per_class"]) == 10
        assert numbers["recognised"] == pytest.approx(np.mean(numbers["recognised_per_class"]))
        assert main([*command, "--config.train.judge=nowhere"]) == 2
        assert "neither 'pixels' nor the work directory of a classifier" in capsys.readouterr().err
    numbers = json.loads((workdir / "eval.json").read_text())[-1]
    assert numbers["fd"] > numbers["fd_floor"] > 0 and numbers["kd"] > numbers["kd_floor"]
    assert numbers["nearest"] > numbers["nearest_floor"] > 0
