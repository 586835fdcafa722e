"""Compiled programs are kept in the user's cache, so that a page that ran before starts in seconds."""

import functools
import hashlib
import pathlib
import platform

import jax

from data.cache import cache_folder
from experiments.build.compilation_faults import avoid_faults, check_reductions

JAX_DEFAULT = 1.0  # seconds: what compiles in less jax does not keep


@functools.cache  # once in a process
def keep_compiled() -> None:
    """Has jax keep what it compiles, for the processor at hand: a home may be shared by several kinds.

    A folder set by JAX_COMPILATION_CACHE_DIR or `jax.config` is used instead. If the cache cannot be written, nothing
    is kept. Faults of the installed jaxlib are avoided first, before it compiles anything, or refused by a PageError.
    """
    avoid_faults()
    check_reductions()
    if jax.config.jax_compilation_cache_dir is None:
        folder = cache_folder(f"jax/{_processor()}")
        if folder is None:
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
    # Of the many small programs before the first step none takes a second, and all together do.
    if jax.config.jax_persistent_cache_min_compile_time_secs == JAX_DEFAULT:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _processor() -> str:
    """Ten digits for the kind of processor and the instructions that it has."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().partition("\n\n")[0].splitlines() if info.exists() else [platform.processor()]
    kind = [line for line in lines if line.startswith(("model name", "flags", "Features"))] or lines
    return hashlib.sha256("\n".join([platform.machine(), *kind]).encode()).hexdigest()[:10]
