"""What every test shares. Flags and a persistent cache are set before jax starts; what a test starts inherits them."""

import os
import pathlib

from tests.flags import EIGHT_DEVICES, QUICK

os.environ.setdefault("XLA_FLAGS", f"{EIGHT_DEVICES} {QUICK}")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
if "PYTEST_XDIST_WORKER" in os.environ:  # the workers have all cores together, so that each has one
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(threads, "1")

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def programs_forgotten():
    """A compiled program stays in its process, in memory maps of which Linux allows 65,530: then it is killed."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="module")
def optimised():
    """For tests whose programs run longer than they compile."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def shared_datasets() -> pathlib.Path:
    """The folder of real public data sets that may stand beside the repository."""
    path = pathlib.Path(__file__).parents[2] / "shared" / "datasets"
    if not path.is_dir():
        pytest.skip("real data sets are not here: ../shared/datasets is absent")
    return path
