"""A run that was killed and started again is, to the bit, the run that was never killed."""

import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import typing

import numpy as np
import pytest

from tests.flags import QUICK
from training.checkpoint import Checkpoints
from training.records import read

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 400
PATIENCE = 600  # seconds, on a machine that does other things too
PAGE = f"""
from experiments.pages import page


def get_config():
    return page(
        model=dict(name="mlp", hidden=(32,), dropout_rate=0.2),
        task=dict(name="classification"),
        data=dict(name="digits", train="train[:90%]", validation="train[90%:]", augment=("pad_crop(1)", "flip")),
        optimizer=dict(name="sgd", momentum=0.9),
        schedule=dict(name="cosine", peak=0.05),
        train=dict(
            batch_size=64, steps={STEPS}, accumulate=2, ema=0.99, log_every=8, evaluate_every=20, checkpoint_every=20
        ),
    )
"""


GENERATIVE = """
from experiments.pages import page


def get_config():
    return page(
        {networks},
        optimizer=dict(name="adam", b1=0.5),
        schedule=dict(name="cosine", peak=1e-3),
        train=dict(
            batch_size=16, steps=400, ema=0.99, log_every=8, evaluate_every=100, checkpoint_every=20
        ),
    )
"""
NETWORKS = {
    "gan": """
        model=dict(
            generator=dict(name="gan_generator", hidden=(8,)), critic=dict(name="gan_discriminator", hidden=(8,))
        ),
        task=dict(name="gan", loss="wasserstein", updates=2, gradient_penalty=0.1),
        data=dict(name="gaussians", num_examples=512)""",
    "ddpm": """
        model=dict(
            name="ddpm_unet", width=8, multipliers=(1,), blocks=1, attention=(), groups=4, conditional=True
        ),
        task=dict(name="diffusion", steps=20, sampling_steps=4, bound_terms=2),
        data=dict(name="digits", train="train[:64]", validation="test[:16]", test="test[16:32]", scale="symmetric")""",
}


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("page") / "digits_mlp.py"
    path.write_text(PAGE)
    return path


def start(page, workdir, *overrides, devices: int = 1) -> subprocess.Popen:
    workdir.mkdir(exist_ok=True)
    flags = {"XLA_FLAGS": f"{QUICK} --xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "experiments.cli", "train", "--config", str(page), "--workdir", str(workdir)]
    with (workdir / "output").open("a") as output:
        return subprocess.Popen(
            [*command, *overrides], cwd=ROOT, env={**os.environ, **flags}, stdout=output, stderr=output
        )


def end(page, workdir, *overrides, devices: int = 1) -> None:
    code = start(page, workdir, *overrides, devices=devices).wait(timeout=PATIENCE)
    assert code == 0, (workdir / "output").read_text()[-3000:]


def wait_for_steps(process, workdir) -> None:
    """Returns when this process has recorded something, or is over."""
    lines = lambda: (workdir / "output").read_text().count("train/")
    before = lines()
    while process.poll() is None and lines() == before:
        time.sleep(0.01)


def result(workdir) -> tuple[dict, list[dict], list[int], int]:
    """The last state as bytes, all records but for their times, the checkpoints that are kept, the best of them."""
    checkpoints = Checkpoints(workdir / "checkpoints", pytest.fail)
    assert checkpoints.steps()[-1] == STEPS
    state = {path: x.tobytes() for path, x in checkpoints.arrays(STEPS).items()}
    records = [{k: v for k, v in record.items() if not k.startswith(("time/", "memory/"))} for record in read(workdir)]
    return state, records, checkpoints.steps(), checkpoints.best()


class Whole(typing.NamedTuple):
    """A run that was never killed: how long it took to its first record, and from there to the end."""

    workdir: pathlib.Path
    result: tuple
    to_start: float
    to_end: float


def run_whole(page, workdir) -> Whole:
    began = time.monotonic()
    process = start(page, workdir)
    wait_for_steps(process, workdir)
    first = time.monotonic()
    assert process.wait(timeout=PATIENCE) == 0, (workdir / "output").read_text()[-3000:]
    return Whole(workdir, result(workdir), first - began, time.monotonic() - first)


@pytest.fixture(scope="module")
def never_killed(page, tmp_path_factory) -> Whole:
    whole = run_whole(page, tmp_path_factory.mktemp("never_killed"))
    assert len(whole.result[1]) == STEPS // 8 + STEPS // 20 + 1  # training, validation, test
    return whole


def assert_same(found, expected):
    for path, leaf in expected[0].items():
        assert found[0][path] == leaf, f"{path} differs"
    assert found[1] == expected[1]
    assert found[2:] == expected[2:]


def test_killed_at_random_moments(page, never_killed, tmp_path):
    """Some while it starts, compiles or restores, some while it steps, evaluates, saves or sums up."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"{seed=}")
    draw, kills, runs = random.Random(seed), 0, 0
    while kills < 6:
        workdir = tmp_path / f"run{runs}"
        runs += 1
        for _ in range(3):
            process = start(page, workdir)
            if kills % 3:
                wait_for_steps(process, workdir)
                delay = draw.uniform(0, 0.6 * never_killed.to_end)
            else:
                delay = draw.uniform(0, never_killed.to_start)
            time.sleep(delay)
            process.kill()
            if process.wait() == 0:  # was over before
                break
            kills += 1
        end(page, workdir)
        assert_same(result(workdir), never_killed.result)


@pytest.mark.parametrize("family", NETWORKS)
def test_generative_networks_killed_at_random_moments(family, tmp_path):
    """Both players and their noise, the moving average that samples are drawn with: all go on where they were."""
    page, seed, kills = tmp_path / "page.py", random.SystemRandom().randrange(2**32), 0
    print(f"{seed=}")
    draw = random.Random(seed)
    page.write_text(GENERATIVE.format(networks=NETWORKS[family].strip()))
    whole, workdir = run_whole(page, tmp_path / "whole"), tmp_path / "killed"
    while kills < 2:
        process = start(page, workdir)
        wait_for_steps(process, workdir)
        time.sleep(draw.uniform(0, 0.4 * whole.to_end))
        process.kill()
        if process.wait() == 0:  # was over before
            shutil.rmtree(workdir)
        else:
            kills += 1
    end(page, workdir)
    assert_same(result(workdir), whole.result)
    drawn = [sorted((w / "samples").glob("*.png")) for w in (whole.workdir, workdir)]
    assert [x.name for x in drawn[0]] == [x.name for x in drawn[1]]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*drawn, strict=True))


def test_asked_to_stop(page, never_killed, tmp_path):
    stopped = 0
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(page, tmp_path)
        wait_for_steps(process, tmp_path)
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE) == 75
        before, stopped = stopped, Checkpoints(tmp_path / "checkpoints").steps()[-1]
        assert before < stopped < STEPS
        assert f"interrupted at step {stopped}" in (tmp_path / "output").read_text()
    end(page, tmp_path)
    assert_same(result(tmp_path), never_killed.result)


def test_started_again_after_its_end_it_changes_nothing(page, never_killed):
    end(page, never_killed.workdir)
    assert_same(result(never_killed.workdir), never_killed.result)


EXACT = [f"--config.train.{key}=float64" for key in ("dtype", "param_dtype")]
EXACT += ["--config.model.dropout_rate=0"]  # which draws per device under `pmap`


@pytest.fixture(scope="module")
def exact(page, tmp_path_factory) -> dict[str, np.ndarray]:
    """The last state of one device in float64, without dropout."""
    workdir = tmp_path_factory.mktemp("exact")
    end(page, workdir, *EXACT)
    return Checkpoints(workdir / "checkpoints").arrays(STEPS)


def assert_close(workdir, exact):
    found = Checkpoints(workdir / "checkpoints", pytest.fail).arrays(STEPS)
    assert max(float(np.abs(exact[path] - found[path]).max()) for path in exact) < 1e-9


def test_from_eight_devices_to_one(page, exact, tmp_path):
    process = start(page, tmp_path, *EXACT, devices=8)
    wait_for_steps(process, tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=PATIENCE) == 75
    end(page, tmp_path, *EXACT)
    assert_close(tmp_path, exact)


def test_two_processes_stop_together_and_go_on(page, exact, tmp_path):
    """One is asked to stop; both agree at the next record. Records are written by the first alone."""

    def start_two():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            coordinator = f"--coordinator=127.0.0.1:{probe.getsockname()[1]}"
        join = lambda i: start(page, tmp_path, coordinator, "--processes=2", f"--process={i}", *EXACT, devices=2)
        return [join(0), join(1)]

    processes = start_two()
    wait_for_steps(processes[0], tmp_path)
    processes[1].send_signal(signal.SIGTERM)
    assert [process.wait(timeout=PATIENCE) for process in processes] == [75, 75], (tmp_path / "output").read_text()[
        -3000:
    ]
    stopped = Checkpoints(tmp_path / "checkpoints").steps()[-1]
    assert stopped < STEPS and stopped % 8 == 0
    assert [p.wait(timeout=PATIENCE) for p in start_two()] == [0, 0], (tmp_path / "output").read_text()[-3000:]
    assert_close(tmp_path, exact)
    assert len(read(tmp_path)) == STEPS // 8 + STEPS // 20 + 1


def test_goes_on_from_before_a_damaged_checkpoint(page, never_killed, tmp_path):
    process = start(page, tmp_path)
    while process.poll() is None and not (tmp_path / "checkpoints" / "60" / "files.json").exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    newest = Checkpoints(tmp_path / "checkpoints").steps()[-1]
    file = max((f for f in (tmp_path / f"checkpoints/{newest}").rglob("*") if f.is_file()), key=os.path.getsize)
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 3] ^= 16
    file.write_bytes(damaged)
    end(page, tmp_path)
    output = (tmp_path / "output").read_text()
    assert f"checkpoints/{newest} is damaged" in output and "resuming from step" in output
    assert_same(result(tmp_path), never_killed.result)
