"""Commands as processes of this machine, which outlive the terminal."""

import os
import pathlib
import subprocess
import sys

from experiments.errors import PageError
from experiments.launch import FOVEA, Job, Where, free_port, joined, log_of
from experiments.runs.workdir import make_folder


def submit(command: list[str], where: Where, folder: pathlib.Path, copies: int) -> list[Job]:
    environments = iter(shares(where.devices, copies * where.hosts))
    make_folder(folder)
    jobs = []
    for copy in range(copies):
        coordinator, processes = f"127.0.0.1:{free_port()}", []
        for host in range(where.hosts):
            others = joined(coordinator, where.hosts, host) if where.hosts > 1 else []
            with log_of(folder, copy, host).open("a") as log:
                process = subprocess.Popen(
                    [*FOVEA, *command, *others],
                    env={**os.environ, **next(environments)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            processes.append(process)
        jobs.append(_job(processes, log_of(folder, copy)))
    return jobs


def _job(processes, log) -> Job:
    def stop():
        for process in processes:
            if process.poll() is None:
                process.terminate()

    numbers = " ".join(str(process.pid) for process in processes)
    name = f"process {numbers}" if len(processes) == 1 else f"processes {numbers}"
    return Job(name, log, f"kill {numbers}", lambda: max((p.wait() for p in processes), key=abs), stop)


def shares(devices: int | None, processes: int) -> list[dict[str, str]]:
    """The environments that give `processes` processes of this machine `devices` devices each.

    Args:
      devices: None for all of them in equal parts. The CPU is split into devices only with JAX_PLATFORMS=cpu.

    Raises:
      PageError: too few devices.
    """
    if devices is None and processes == 1:
        return [{}]
    platform, count = accelerators()
    if platform == "cpu" and devices is None:
        return [{}] * processes
    if platform == "cpu":
        if os.environ.get("JAX_PLATFORMS") != "cpu":
            raise PageError(
                f"--devices {devices}: jax finds no accelerator on this machine (JAX_PLATFORMS=cpu splits the CPU)"
            )
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
        return [{"XLA_FLAGS": flags.strip()}] * processes
    share = count // processes if devices is None else devices
    if share < 1 or share * processes > count:
        raise PageError(
            f"{processes} × {share or 'at least 1'} devices are needed, and this machine has {count} ({platform})"
        )
    if platform != "gpu":
        if (share, processes) == (count, 1):
            return [{}]
        raise PageError(f"the {count} devices of a {platform} host belong to one process: no --devices {share}")
    visible = (os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))).split(",")
    return [{"CUDA_VISIBLE_DEVICES": ",".join(visible[i * share : (i + 1) * share])} for i in range(processes)]


def accelerators() -> tuple[str, int]:
    """The platform of jax's devices on this machine and their number: ("gpu", 8).

    A process that asks takes the devices, so another one does.
    """
    code = "import jax; print(jax.default_backend(), jax.local_device_count())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if run.returncode:
        raise PageError(f"jax finds no devices on this machine: {run.stderr.strip().splitlines()[-1]}")
    platform, count = run.stdout.split()
    return platform, int(count)
