"""The same step and the same evaluation on one device, on eight, and in two processes: equal up to rounding."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

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
    for file, found in numbers.items():  # in float32 two neighbours may change places
        assert found == pytest.approx(expected, abs=1e-9 if dtype == "float64" else 0.02), file
    assert any(differences.values())  # to the bit would mean that the devices were not used
