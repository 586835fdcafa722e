"""`fovea launch`: the same run on this machine, as SLURM jobs, on a Ray cluster, and as what is to be pasted."""

import os
import pathlib
import shlex
import signal
import subprocess
import time

import numpy as np
import pytest
import yaml

from experiments.errors import PageError
from experiments.launch import Where, local, submit
from experiments.runs.workdir import holder, state
from training.checkpoint import Checkpoints
from training.records import read

LONG = ("--config.train.steps=1000000", "--config.train.log_every=50", "--config.train.checkpoint_every=100")


pytestmark = pytest.mark.usefixtures("one_device", "nothing_stays")


def train(workdir, *more) -> list[str]:
    return ["train", "--config", "mlp_digits", "--workdir", str(workdir), *more]


def steps(count: int) -> list[str]:
    return [f"--config.train.{key}={count}" for key in ("steps", "evaluate_every", "checkpoint_every")]


def until_saved(workdir: pathlib.Path) -> int:
    """Waits for a checkpoint that is complete; returns the step of the newest."""
    limit = time.monotonic() + 120
    while not (complete := list(workdir.glob("checkpoints/*/files.json"))):
        assert time.monotonic() < limit, [path.read_text() for path in workdir.glob("log*.txt")]
        time.sleep(0.02)
    return max(int(path.parent.name) for path in complete)


def resumed(workdir: pathlib.Path) -> int:
    """The step from which the log says that the run went on."""
    (line,) = [line for line in (workdir / "log.txt").read_text().splitlines() if line.startswith("resuming")]
    return int(line.split()[-1])


# This machine.


def test_it_runs_in_the_background_until_it_is_stopped(fovea, tmp_path):
    workdir = tmp_path / "run"
    result = fovea("launch", "--config", "mlp_digits", "--workdir", workdir, *LONG)
    assert (result.code, result.error) == (0, "")
    name, follow, stop = (line.strip() for line in result.out.splitlines())
    until_saved(workdir)
    assert name == f"process {holder(workdir)['pid']}"
    assert f"tail -f {workdir / 'log.txt'}" in follow and stop.endswith(f"fovea stop {workdir}")
    assert os.getsid(holder(workdir)["pid"]) != os.getsid(0)  # so that a terminal that is closed does not end it
    assert "in use" in fovea("launch", "--config", "mlp_digits", "--workdir", workdir).error
    assert fovea("stop", workdir).code == 0
    while state(workdir) == "running":
        time.sleep(0.05)
    assert state(workdir) == "interrupted"
    other = fovea("launch", "--config", "mlp_digits", "--workdir", workdir, "--config.schedule.peak=1.0")
    assert "trained with another page; schedule.peak: stored 0.003, given 1.0" in other.error


def test_two_processes_learn_what_one_does(tmp_path):
    double = ["--config.train.dtype=float64", "--config.train.param_dtype=float64", *steps(20)]
    jobs = [
        submit(train(tmp_path / str(hosts), *double), Where(hosts=hosts), tmp_path / str(hosts))[0] for hosts in (1, 2)
    ]
    assert [job.wait() for job in jobs] == [0, 0], [job.log.read_text() for job in jobs]
    one, two = (Checkpoints(tmp_path / name / "checkpoints").arrays(20) for name in "12")
    difference = max(np.abs(one[name].astype(float) - two[name]).max() for name in one)
    assert 0 < difference < 1e-9  # to the bit would mean that only one took part


def test_devices_are_shared_out(monkeypatch):
    monkeypatch.setattr(local, "accelerators", lambda: ("gpu", 4))
    assert local.shares(None, 1) == [{}]
    assert local.shares(None, 2) == [{"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": "2,3"}]
    assert local.shares(1, 2) == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    assert local.shares(2, 2)[1] == {"CUDA_VISIBLE_DEVICES": "6,7"}
    for devices, processes in ((5, 1), (3, 2), (None, 5)):
        with pytest.raises(PageError, match="this machine has 4"):
            local.shares(devices, processes)


def test_devices_that_are_not_there(fovea, monkeypatch, tmp_path):
    monkeypatch.setattr(local, "accelerators", lambda: ("cpu", 1))
    assert local.shares(3, 1) == [{"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}]
    monkeypatch.setenv("JAX_PLATFORMS", "")
    result = fovea("launch", "--config", "mlp_digits", "--workdir", tmp_path / "run", "--devices", 2)
    assert (result.code, result.out) == (2, "")
    assert result.error.startswith("fovea: --devices 2: jax finds no accelerator on this machine")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--config.train.stps=3", "--config.train.stps: unknown key 'stps': did you mean 'steps'?"),
        ("--config.track.to=wandbb", "track.to='wandbb' is unknown: did you mean 'wandb'?"),
        ("--on slurm", "--on slurm needs --slurm time=MINUTES"),
        ("--on slurm --slurm time=5", "--on slurm: this machine can submit nothing to SLURM, there is no srun"),
        ("--on slurm --slurm tme=5", "--slurm tme: submitit has no such parameter: did you mean 'time'?"),
        ("--on ray --address 127.0.0.1:1", "--on ray: there is no Ray cluster at 127.0.0.1:1"),
        ("--address 127.0.0.1:1", "--address is for --on ray, not for --on local"),
        ("--slurm time=5", "--slurm time: not with --on local"),
        ("--on tpu --hosts 2", "--on tpu: the slice's type says"),
    ],
)
def test_what_is_refused_before_anything_is_written(fovea, tmp_path, monkeypatch, arguments, line):
    monkeypatch.setenv("PATH", "")  # no srun
    result = fovea("launch", "--config", "mlp_digits", "--workdir", tmp_path / "run", *arguments.split())
    assert (result.code, result.out) == (2, "")
    assert result.error.startswith(f"fovea: {line}") and result.error.count("\n") == 1
    assert not (tmp_path / "run").exists()


# SLURM, for which submitit's local executor stands in.


@pytest.mark.parametrize("warned", [True, False])
def test_a_job_that_is_preempted_is_requeued_and_goes_on(on_slurm, tmp_path, warned):
    """With a warning before the time limit, or by SIGTERM to all of its processes: then SLURM requeues what waits."""
    (job,) = submit(
        train(tmp_path, *LONG[1:], "--config.train.steps=5000"), Where("slurm", slurm={"timeout_min": 60}), tmp_path
    )
    before = until_saved(tmp_path)
    run = holder(tmp_path)["pid"]
    task = int(pathlib.Path(f"/proc/{run}/stat").read_text().rpartition(")")[2].split()[1])
    if not warned:
        for process in (task, run):
            os.kill(process, signal.SIGTERM)
        while pathlib.Path(f"/proc/{run}").exists():
            time.sleep(0.05)
        assert state(tmp_path) == "interrupted"
        time.sleep(0.2)  # in which the job would end, had it not to wait
    os.kill(task, signal.SIGUSR2)
    assert job.wait() == 0, job.log.read_text()
    assert resumed(tmp_path) >= before
    assert state(tmp_path) == "finished" and read(tmp_path)[-1]["step"] == 5000


def test_a_job_that_fails_is_not_requeued(on_slurm, tmp_path):
    (job,) = submit(train(tmp_path, "--config.data.augment=flop"), on_slurm, tmp_path)
    assert job.wait() == 1
    assert job.log.read_text().splitlines() == ["fovea: no augmentation 'flop': did you mean 'flip'?"]


# A Ray cluster of two nodes on this machine.


@pytest.mark.parametrize(("hosts", "length"), [(1, 5000), (2, 600)])
def test_what_is_killed_on_ray_goes_on_and_two_nodes_together(cluster, tmp_path, hosts, length):
    more = [*LONG[1:], f"--config.train.steps={length}", f"--config.train.evaluate_every={length}"]
    (job,) = submit(train(tmp_path, *more), Where("ray", hosts=hosts, address=cluster.address), tmp_path)
    saved = until_saved(tmp_path)
    os.kill(holder(tmp_path)["pid"], signal.SIGKILL)
    assert job.wait() == 0, job.log.read_text()
    assert saved <= resumed(tmp_path) < length
    assert state(tmp_path) == "finished"


def test_a_task_that_is_stopped_saves(cluster, tmp_path):
    (job,) = submit(train(tmp_path, *LONG), Where("ray", address=cluster.address), tmp_path)
    before = until_saved(tmp_path)
    job.stop()
    assert job.wait() == 75
    assert state(tmp_path) == "interrupted" and Checkpoints(tmp_path / "checkpoints").steps()[-1] >= before


def test_a_cluster_without_gpus(cluster, tmp_path):
    with pytest.raises(PageError, match="--hosts 1 --devices 2: the Ray cluster has 2 nodes with at most 0 GPUs"):
        submit(train(tmp_path / "run"), Where("ray", devices=2, address=cluster.address), tmp_path / "run")
    with pytest.raises(PageError, match="--hosts 3"):
        submit(train(tmp_path / "run"), Where("ray", hosts=3, address=cluster.address), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# What is to be pasted.


def test_kubernetes(fovea, tmp_path):
    launch = ("launch", "--config", "mlp_digits", "--workdir", tmp_path / "My Run", "--on", "kubernetes")
    service, job = yaml.safe_load_all(fovea(*launch, "--hosts", 2, "--devices", 4, **{"data.augment": "('flip',)"}).out)
    spec, name = job["spec"], service["metadata"]["name"]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (2, 2, "Indexed")
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    (pod,) = spec["template"]["spec"]["containers"]
    assert spec["template"]["spec"]["subdomain"] == name == "fovea-my-run"
    assert pod["resources"] == {"limits": {"nvidia.com/gpu": 4}}
    shell, option, line = pod["command"]
    assert (shell, option) == ("sh", "-c")
    words = shlex.split(line)
    assert words[:2] == ["exec", "fovea"] and "--config.data.augment=('flip',)" in words
    assert words[-6:] == [
        "--coordinator",
        f"{name}-0.{name}:8476",
        "--processes",
        "2",
        "--process",
        "$JOB_COMPLETION_INDEX",
    ]
    (single,) = yaml.safe_load_all(fovea(*launch).out)
    (pod,) = single["spec"]["template"]["spec"]["containers"]
    assert "--coordinator" not in pod["command"][2] and "resources" not in pod
    assert not (tmp_path / "My Run").exists()


def test_tpu(fovea, tmp_path):
    """The commands are carried out with a `gcloud` that notes how it is called."""
    script = fovea("launch", "--config", "mlp_digits", "--workdir", tmp_path / "a run", "--on", "tpu").out
    fake = tmp_path / "bin" / "gcloud"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nfor word; do printf "%s\\0" "$word"; done >> "$CALLS"; echo >> "$CALLS"\n')
    fake.chmod(0o755)
    calls = tmp_path / "calls"
    environment = {**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}", "CALLS": str(calls)}
    subprocess.run(["bash", "-eu", "-c", script], env=environment, check=True)
    calls = [line.split("\0")[:-1] for line in calls.read_text().splitlines()]
    assert [call[3] for call in calls] == ["create", "ssh", "ssh", "ssh", "ssh", "delete"]
    install, start, follow, stop = (call[-1].removeprefix("--command=") for call in calls[1:5])
    assert "--worker=all" in calls[2] and install.startswith("git clone 'https://")
    words = shlex.split(start)
    assert words[words.index("--workdir") + 1] == str(tmp_path / "a run") and "--distributed" in words
    # It returns at once, although what it starts goes on.
    began, home = tmp_path / "began", tmp_path / "home"
    installed = home / "fovea" / ".venv" / "bin" / "fovea"
    installed.parent.mkdir(parents=True)
    installed.write_text(f"#!/bin/sh\ntouch '{began}'\nwhile [ -e '{began}' ]; do sleep 0.1; done\n")
    installed.chmod(0o755)
    subprocess.run(["bash", "-c", start], cwd=home, capture_output=True, check=True, timeout=120)
    while not began.exists():
        time.sleep(0.1)
    began.unlink()
    assert shlex.split(follow) == ["tail", "-f", str(tmp_path / "a run" / "log.txt")]
    assert shlex.split(stop)[-2:] == ["stop", str(tmp_path / "a run")]
