"""The same step and the same evaluation on one device, on eight, and in two processes: equal up to rounding."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from experiments.pages import page
from experiments.runs.run import build
from tests.flags import QUICK

TRAIN = pathlib.Path(__file__).with_name("train_resnet.py")


def start(arguments, devices: int, process: int | None = None, port: int | None = None) -> subprocess.Popen:
    """train_resnet.py with `devices` CPU devices; as one of two processes where `process` is given."""
    command = [sys.executable, str(TRAIN), *map(str, arguments)]
    if process is not None:
        command += ["--coordinator", f"127.0.0.1:{port}", "--processes", "2", "--process", str(process)]
    flags = {"XLA_FLAGS": f"{QUICK} --xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        command, env={**os.environ, **flags}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def start_two(arguments) -> list[subprocess.Popen]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [start(arguments, 4, process, port) for process in (0, 1)]


def finish(*processes: subprocess.Popen) -> list[int]:
    """Exit codes; what a process printed is shown where a test fails."""
    codes = []
    for process in processes:
        print(process.communicate(timeout=900)[0][-3000:])
        codes.append(process.returncode)
    return codes


def largest_difference(a: pathlib.Path, b: pathlib.Path) -> float:
    a, b = np.load(a), np.load(b)
    assert set(a.files) == set(b.files)
    return max(float(np.abs(a[name].astype(float) - b[name].astype(float)).max()) for name in a.files)


@pytest.mark.parametrize(("dtype", "steps", "tolerance"), [("float64", 20, 1e-9), ("float32", 1, 1e-3)])
def test_all_placements_take_the_same_steps(tmp_path, dtype, steps, tolerance):
    """A residual network, lr 0.1, momentum, augmentation, accumulation, and a loss that ignores every third example."""
    arguments = lambda name, *placements: [tmp_path / name, steps, dtype, *placements]
    codes = finish(
        start(arguments("one", "mesh:1"), 1),
        start(arguments("eight", "pmap:1", "mesh:1", "mesh:4"), 8),
        *start_two(arguments("two", "pmap:1", "mesh:8")),
    )
    assert codes == [0, 0, 0, 0]
    one = tmp_path / "one" / "mesh:1.npz"
    others = sorted(p for p in tmp_path.glob("*/*.npz") if p != one)
    assert len(others) == 5
    differences = {f"{p.parent.name}/{p.stem}": largest_difference(one, p) for p in others}
    assert all(0 <= d < tolerance for d in differences.values()), differences
    numbers = {p.relative_to(tmp_path): json.loads(p.read_text()) for p in tmp_path.glob("*/*.json")}
    assert len(numbers) == 8, "of each placement and process"
    expected = numbers[pathlib.Path("one/mesh:1.0.json")]
    assert 0.1 < expected["recall_at_1"] < 1 and 0.1 < expected["map"] < 1
    assert {"test/fd", "test/nelbo", "half/nelbo", "sample/12"} <= expected.keys()
    for file, found in numbers.items():  # in float32 two neighbours may change places
        assert found == pytest.approx(expected, abs=1e-9 if dtype == "float64" else 0.02), file
    assert any(differences.values())  # to the bit would mean that the devices were not used


def two_commands(*arguments) -> list[subprocess.Popen]:
    """`fovea …` in two processes of four devices."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = {"XLA_FLAGS": f"{QUICK} --xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    join = ["--coordinator", f"127.0.0.1:{port}", "--processes", "2", "--process"]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "experiments.cli", *map(str, arguments), *join, str(process)],
            env={**os.environ, **flags},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in (0, 1)
    ]


def test_several_hosts_evaluate_and_sample_as_one_does(tmp_path, fovea):
    config = page(
        model=dict(name="vae", hidden=(8,), latent=2),
        task=dict(name="vae", importance_samples=2),
        data=dict(name="digits", train="train[:96]", validation="", test="test[:93]", scale="unit"),
        optimizer=dict(name="sgd"),
        schedule=dict(name="constant", peak=1e-3),
        train=dict(batch_size=16, evaluate_batch_size=16, steps=2, log_every=2, evaluate_every=2, checkpoint_every=2),
    )
    workdir = tmp_path / "run"
    build(config, workdir).train(quiet=True)
    numbers, pictures = [], []
    for name in ("one", "two"):
        evaluate = ("eval", "--workdir", workdir)
        sample = ("sample", "--workdir", workdir, "--num", 13, "--out", tmp_path / f"{name}.png")
        for arguments in (evaluate, sample):
            assert set(finish(*two_commands(*arguments)) if name == "two" else [fovea(*arguments).code]) == {0}
        (record,) = json.loads((workdir / "eval.json").read_text())
        (workdir / "eval.json").unlink()
        numbers.append({key: x for key, x in record.items() if isinstance(x, float)})
        pictures.append(np.asarray(Image.open(tmp_path / f"{name}.png"), float))
    assert numbers[1] == pytest.approx(numbers[0], rel=1e-4) and "nelbo" in numbers[0]
    np.testing.assert_allclose(*pictures, atol=1)
