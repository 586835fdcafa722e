"""Commands as SLURM jobs, by submitit: a job that reaches its time limit or is pre-empted is requeued and resumes."""

import os
import pathlib
import shlex
import signal
import subprocess
from unittest import mock

from experiments.errors import EXIT_INTERRUPTED, PageError, near
from experiments.launch import FOVEA, RETRIES, Job, Where, log_of, needs
from experiments.runs.workdir import make_folder

CLUSTER = "slurm"  # a name of submitit; its "local" imitates a cluster on this machine


def submit(command: list[str], where: Where, folder: pathlib.Path, copies: int) -> list[Job]:
    with mock.patch.dict(os.environ, SUBMITIT_LOG_LEVEL="NOCONFIG"):  # otherwise it closes existing log handlers
        submitit = needs("submitit", "launch")
    if "%" in str(folder) or not str(folder).isprintable():
        raise PageError(
            f"--on slurm: SLURM reads % and line breaks in {str(folder)!r} in its own way: rename the folder"
        )
    executor = _executor(submitit, where, folder)
    make_folder(folder)
    try:
        with executor.batch():
            jobs = [executor.submit(Requeued(command, where.hosts, folder, copy)) for copy in range(copies)]
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        raise PageError(f"--on slurm: {str(error).strip().splitlines()[-1]}") from error
    return [_job(submitit, job, log_of(folder, copy)) for copy, job in enumerate(jobs)]


def _executor(submitit, where, folder):
    given = {**where.slurm, "nodes": where.hosts, "tasks_per_node": 1}
    if where.devices:
        given["gpus_per_node"] = where.devices
    shared = submitit.AutoExecutor._valid_parameters()  # the others have the prefix of their cluster
    known = shared | submitit.SlurmExecutor._valid_parameters()
    for name in given:
        if name not in known:
            raise PageError(f"--slurm {name}: submitit has no such parameter{near(name, known)}")
    if not {"time", "timeout_min"} & given.keys():
        raise PageError("--on slurm needs --slurm time=MINUTES: the time after which a job is requeued and resumes")
    try:
        executor = submitit.AutoExecutor(folder / "jobs" / "%j", cluster=CLUSTER, slurm_max_num_timeout=RETRIES)
        executor.update_parameters(**{name if name in shared else f"slurm_{name}": x for name, x in given.items()})
    except RuntimeError as error:
        raise PageError("--on slurm: this machine can submit nothing to SLURM, there is no srun") from error
    except (AssertionError, TypeError, ValueError) as error:
        raise PageError(f"--slurm: {str(error).splitlines()[0]}") from error
    return executor


def _job(submitit, job, log) -> Job:
    def wait():
        job.wait()
        try:
            return max(job.results())
        except submitit.core.utils.UncompletedJobError:
            return 1

    return Job(f"SLURM job {job.job_id}", log, f"scancel {job.job_id}", wait, job.cancel)


class Requeued:
    """A command as submitit runs it. Shortly before the time limit it saves, and the job is requeued.

    A job that SLURM stops by SIGTERM to all its processes waits to be killed after the command has saved: SLURM
    requeues a pre-empted job only if it did not end by itself.
    """

    def __init__(self, command: list[str], hosts: int, folder: pathlib.Path, copy: int):
        self.arguments = command, hosts, folder, copy
        self.process, self.taken_down = None, False

    def __call__(self) -> int:
        import submitit

        command, hosts, folder, copy = self.arguments
        environment = dict(os.environ)
        if gpus := int(os.environ.get("SLURM_GPUS_ON_NODE", 0)):  # by default jax takes one, for one process per device
            environment["JAX_LOCAL_DEVICE_IDS"] = ",".join(map(str, range(gpus)))
        log = log_of(folder, copy, submitit.JobEnvironment().global_rank)
        # SLURM sends its warning to all processes of a job. The command ignores it and gets SIGTERM from here.
        warning = submitit.JobEnvironment._usr_sig()
        handler = signal.signal(warning, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._take_down)
        with log.open("a") as out:
            self.process = subprocess.Popen(
                [*FOVEA, *command, *(["--distributed"] if hosts > 1 else [])],
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        signal.signal(warning, handler)
        code = self.process.wait()
        while code == EXIT_INTERRUPTED and self.taken_down:
            signal.pause()
        if code not in (0, EXIT_INTERRUPTED):
            raise RuntimeError(f"fovea {shlex.join(command)} ended with exit code {code}: see {log}")
        return code

    def _take_down(self, *_):
        if self.taken_down:  # the second signal
            raise SystemExit(EXIT_INTERRUPTED)
        self.taken_down = True

    def checkpoint(self):
        """Called by submitit shortly before the time limit: returns what the requeued job runs."""
        import submitit

        if self.process and self.process.poll() is None:
            self.process.terminate()
            os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)  # this interrupts `wait`
        return submitit.helpers.DelayedSubmission(type(self)(*self.arguments))
