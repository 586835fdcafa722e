"""What every test shares. Eight CPU devices and a persistent cache must be asked for before jax starts."""

import os
import pathlib

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def programs_forgotten():
    """A compiled program stays in its process, in memory maps of which Linux allows 65,530: then it is killed."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def shared_datasets() -> pathlib.Path:
    """The folder of real public data sets that may stand beside the repository."""
    path = pathlib.Path(__file__).parents[2] / "shared" / "datasets"
    if not path.is_dir():
        pytest.skip("real data sets are not here: ../shared/datasets is absent")
    return path
