"""The command's side of the process that compiles."""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from data.errors import one_line
from experiments.errors import PageError
from experiments.rehearse.devices import Place

ROOT = pathlib.Path(__file__).parents[2]
EXTRA = "FOVEA_REHEARSE"  # a folder of packages, instead of ROOT/.venv-rehearse
# The modules of the extra that each platform needs.
MODULES = {"gpu": "jax_plugins/xla_cuda12", "tpu": "libtpu", "cpu": ""}

# Without a GPU there are no measured tile sizes, which Triton's products depend on.
_XLA = {"gpu": "--xla_gpu_enable_triton_gemm=false --xla_gpu_autotune_level=0", "tpu": "", "cpu": ""}


def packages(platform: str) -> list[str]:
    """The folders of the extra, to be put before the others of Python; [] where it is installed, or not needed.

    Raises PageError, with how to get it, where it is missing.
    """
    module = MODULES[platform]
    if not module or _installed(module):
        return []
    folders = [pathlib.Path(os.environ[EXTRA])] if os.environ.get(EXTRA) else [ROOT / ".venv-rehearse"]
    for folder in folders:
        found = [path for path in (folder, *folder.glob("lib/python3*/site-packages")) if (path / module).is_dir()]
        if found:
            return [str(found[0])]
    raise PageError(
        f"compiling for a {platform.upper()} that is not here needs the extra 'rehearse', 1 GB: make rehearse, or"
        f" pip install 'fovea[rehearse]' in an environment whose folder {EXTRA} names"
    )


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module.replace("/", ".")) is not None
    except ModuleNotFoundError:
        return False


def environment(place: Place) -> dict[str, str]:
    """That of the process: jax on as many CPU devices as the place has devices, with the defaults of a user."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("JAX_", "XLA_", "TPU_", "LIBTPU_"))}
    path = [*packages(place.kind.platform), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    flags = f"--xla_force_host_platform_device_count={place.count} {_XLA[place.kind.platform]}"
    return kept | {
        "PYTHONPATH": os.pathsep.join(path),
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_COMPILATION_CACHE": "false",  # its keys are of devices that are here
        "XLA_FLAGS": flags.strip(),
        "TPU_SKIP_MDS_QUERY": "1",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # no chip is taken that another process could have
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


class Compiler:
    """Compiles programs for one place, one after the other, in a process that is started again when XLA has ended it.

    Use it as a context: the process ends with it.
    """

    def __init__(self, place: Place):
        self.place = place
        self._environment = environment(place)
        self._process: subprocess.Popen | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
        self._log.close()

    def compile(
        self,
        config: str,
        overrides: list[tuple[str, str]],
        program: str = "train",
        tell: Callable[[str, float], None] = lambda stage, seconds: None,
    ) -> dict[str, Any]:
        """What `experiments.rehearse.worker.answer` says of a program.

        Args:
          tell: called about every second with what is being done and the seconds since it began.

        Raises PageError for what the page or the command line has wrong.
        """
        if self._process is None or self._process.poll() is not None:
            self._start()
        on = {"on": self.place.text, "memory": self.place.memory}
        asked = {"config": config, "overrides": overrides, "program": program, **on}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        stage, began, done = "starting", time.perf_counter(), threading.Event()

        def watch():
            while not done.wait(1.0):
                tell(stage, time.perf_counter() - began)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            for line in self._process.stdout:
                said = json.loads(line)
                if "stage" in said:
                    stage = said["stage"]
                    tell(stage, time.perf_counter() - began)
                elif "error" in said:
                    raise PageError(said["error"])
                else:
                    return said["result"]
        finally:
            done.set()
            watcher.join()
        code = self._process.wait()
        return {"reason": f"the compiler ended ({code}): {self._last_words()}"}

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "experiments.rehearse.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=self._environment,
        )

    def _last_words(self) -> str:
        """The line of the log that says most about the end of the process."""
        self._log.seek(0)
        lines = [line for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        fatal = [line for line in lines if re.match(r"F\d{4}|[\w.]+(Error|Exception)\b", line)]
        return one_line((fatal or lines or ["no reason"])[-1])[:300]
