"""Commands as tasks of a Ray cluster: a task whose process or node dies is started again and resumes.

The tasks belong to the process that submits them, which must keep running; `ray job submit -- fovea launch --on ray …`
runs it on the cluster.
"""

import os
import pathlib
import pkgutil
import socket
import sys
import traceback

from experiments.errors import EXIT_INTERRUPTED, PageError
from experiments.launch import ENTRY, RETRIES, Job, Where, free_port, joined, log_of, needs
from experiments.runs.workdir import make_folder

_HANDED_ON = ("JAX_", "XLA_", "TFDS_", "WANDB_", "MLFLOW_")  # environment variables for the tasks; Ray passes none


def submit(command: list[str], where: Where, folder: pathlib.Path, copies: int) -> list[Job]:
    ray = needs("ray", "launch")
    _connect(ray, where.address)
    gpus = where.devices or 0
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if sum(node.get("GPU", 0) >= gpus for node in nodes) < where.hosts:
        most = max(int(node.get("GPU", 0)) for node in nodes)
        raise PageError(
            f"--hosts {where.hosts} --devices {gpus}: the Ray cluster has {len(nodes)} nodes with at most {most} GPUs"
        )
    make_folder(folder)
    environment = {name: value for name, value in os.environ.items() if name.startswith(_HANDED_ON)}
    jobs = []
    for copy in range(copies):
        arguments = command, folder, copy, os.getcwd(), environment
        if where.hosts == 1:
            task = ray.remote(num_cpus=1, num_gpus=gpus, max_calls=1, max_retries=RETRIES)(carry_out)
            reference = task.remote(*arguments)
        else:
            task = ray.remote(num_cpus=0, max_retries=RETRIES)(together)
            reference = task.remote(*arguments, where.hosts, gpus)
        jobs.append(_job(ray, reference, log_of(folder, copy)))
    return jobs


def _connect(ray, address: str) -> None:
    try:
        if address:  # Ray itself would try for a minute
            host, _, port = address.rpartition("://")[2].rpartition(":")
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address or "auto", ignore_reinit_error=True, log_to_driver=False, logging_level="error")
    except (OSError, ValueError) as error:
        where = f"at {address}" if address else "that this machine is part of"
        raise PageError(f"--on ray: there is no Ray cluster {where} (--address HOST:PORT)") from error


def _job(ray, reference, log) -> Job:
    def wait():
        try:
            return ray.get(reference)
        except ray.exceptions.TaskCancelledError:
            return EXIT_INTERRUPTED
        except ray.exceptions.RayError as error:
            print(f"fovea: Ray gave up: {str(error).strip().splitlines()[0]}", file=sys.stderr)
            return 1

    return Job(f"Ray task {reference.task_id().hex()[:8]}", log, "", wait, lambda: ray.cancel(reference))


def carry_out(command, folder, copy, current, environment, host=0) -> int:
    """Runs the command in the process of the task, so that both die together."""
    os.chdir(current)
    os.environ.update(environment)
    with log_of(folder, copy, host).open("a") as log:
        for standard in (1, 2):
            os.dup2(log.fileno(), standard)
    try:
        return pkgutil.resolve_name(f"{ENTRY}:main")(command)
    except SystemExit as error:
        return error.code
    except Exception:  # for the log; Ray would not print it there
        traceback.print_exc()
        return 1


def together(command, folder, copy, current, environment, hosts, gpus) -> int:
    """Runs a command on several nodes at once. If one is lost, all start again."""
    import ray

    while True:
        bundle = {"CPU": 1, "GPU": gpus} if gpus else {"CPU": 1}
        group = ray.util.placement_group([bundle] * hosts, strategy="STRICT_SPREAD")
        tasks = []
        try:
            coordinator = ray.get(_task(ray, _free_address, group, 0).remote())
            for host in range(hosts):
                arguments = [*command, *joined(coordinator, hosts, host)], folder, copy, current, environment, host
                tasks.append(_task(ray, carry_out, group, host, num_gpus=gpus, max_calls=1).remote(*arguments))
            waiting, codes = tasks, []
            while waiting:
                done, waiting = ray.wait(waiting)
                codes += ray.get(done)
            return max(codes)
        except KeyboardInterrupt:  # cancelled together with the tasks, which save
            ray.wait(tasks, num_returns=len(tasks))
            return EXIT_INTERRUPTED
        except ray.exceptions.RayError:
            for task in tasks:
                ray.cancel(task, force=True)
        finally:
            ray.util.remove_placement_group(group)


def _task(ray, function, group, host, **options):
    strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group, host)
    return ray.remote(num_cpus=1, max_retries=0, scheduling_strategy=strategy, **options)(function)


def _free_address() -> str:
    import ray

    return f"{ray.util.get_node_ip_address()}:{free_port()}"
