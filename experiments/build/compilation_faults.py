"""Faults of XLA's CPU backend in particular versions of jaxlib, and the way round each. Other versions are left alone.

The tests in `tests/experiments/test_jaxlib.py` show both faults of `WRONG_REDUCTIONS`.
"""

import importlib.metadata
import importlib.util
import os
import pathlib
import re
import sys
from collections.abc import Mapping

import jax
import jaxlib

from experiments.errors import PageError

# Fused reductions: some sums are wrong without a message (jax-ml/jax#39103), some crash (jax-ml/jax#40412).
WRONG_REDUCTIONS = ("0.10.2", "0.11.0")
# The loader of cached programs reports two preferences of the compiler, which no processor lists, as missing features.
FALSE_ALARMS = ("0.10.1",)

FUSION_FLAG = "--xla_cpu_experimental_ynn_fusion_type"
_PREFERENCE = rb"\+(?=prefer-no-(?:gather|scatter)\b)"
_FEATURES = re.compile(rb"[+-][\w.-]+(?:,[+-][\w.-]+)*,\+prefer-no-(?:gather|scatter)\b[\w.,+-]*")


def avoid_faults() -> None:
    """Applies what the installed jaxlib needs; to be called before jax starts its backend."""
    flags = safe_flags(jaxlib.__version__, os.environ, jax.config.jax_platforms, _has_accelerator())
    if flags is not None:
        os.environ["XLA_FLAGS"] = flags
        change = f"{FUSION_FLAG}=-reduce added to XLA_FLAGS (slower; 0.10.1 does not need it)"
        print(f"fovea: jaxlib {jaxlib.__version__} computes some sums wrongly on the CPU: {change}", file=sys.stderr)
    if jaxlib.__version__ in FALSE_ALARMS:
        _load_without_false_alarms()


def check_reductions() -> None:
    """Raises PageError where the backend, which has started, is a CPU on which jaxlib reduces wrongly.

    That is so where an accelerator's plugin is installed and no device is found: `safe_flags` cannot know it.
    """
    wrong = jaxlib.__version__ in WRONG_REDUCTIONS and FUSION_FLAG not in os.environ.get("XLA_FLAGS", "")
    if wrong and jax.default_backend() == "cpu":
        raise PageError(
            f"jaxlib {jaxlib.__version__} computes some sums wrongly on the CPU, and jax found no accelerator:"
            " set JAX_PLATFORMS=cpu, and fovea adds the flag that avoids it"
        )


def safe_flags(version: str, environment: Mapping[str, str], platforms: str | None, accelerator: bool) -> str | None:
    """XLA_FLAGS with which jaxlib `version` reduces correctly on the CPU; None if the flags may stay as they are.

    Args:
      environment: read for XLA_FLAGS. A value that the user gave to the flag stays.
      platforms: those that jax is told to try, in order, "cuda,cpu"; empty: all that there are.
      accelerator: whether a plugin for an accelerator is installed. Its compiler may reject CPU flags.
    """
    on_cpu = platforms == "cpu" if platforms else not accelerator
    flags = environment.get("XLA_FLAGS", "")
    if version not in WRONG_REDUCTIONS or not on_cpu or FUSION_FLAG in flags:
        return None
    return f"{flags} {FUSION_FLAG}=-reduce".strip()


def without_preferences(program: bytes, processor: frozenset[str]) -> bytes:
    """A serialised CPU program whose list of features has nothing that jaxlib 0.10.1 reports without cause.

    jaxlib adds both preferences again to every list that has an AVX-512 feature, so these are switched off with them,
    if the processor has them all. Otherwise the program comes back as it was, and jaxlib reports what is missing. The
    list is compared and printed when the program is loaded; the machine code is elsewhere and does not change.

    Args:
      program: as the compilation cache keeps it, decompressed.
      processor: the features of this machine's processor, as `processor_features` returns them.
    """

    def quiet(match: re.Match) -> bytes:
        avx512 = [name for name in re.findall(rb"\+([\w.-]+)", match[0]) if b"avx512" in name]
        if any(_plain(name.decode()) not in processor for name in avx512):
            return match[0]
        return re.sub(rb"\+(?=[\w.-]*avx512)", b"-", re.sub(_PREFERENCE, b"-", match[0]))

    return _FEATURES.sub(quiet, program)


def processor_features(cpuinfo: str) -> frozenset[str]:
    """The features in the text of /proc/cpuinfo; names are without `_` and `-`, which the kernel and LLVM set apart."""
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    return frozenset(map(_plain, flags[1].split())) if flags else frozenset()


def _plain(feature: str) -> str:
    return feature.replace("_", "").replace("-", "")


def _load_without_false_alarms() -> None:
    """Has jax's compilation cache pass each program through `without_preferences`.

    jaxlib writes these lines itself, where only TF_CPP_MIN_LOG_LEVEL=3 would silence them, with all other errors.
    """
    from jax._src import compilation_cache

    info = pathlib.Path("/proc/cpuinfo")
    processor = processor_features(info.read_text()) if info.exists() else frozenset()
    plain = compilation_cache.decompress_executable
    compilation_cache.decompress_executable = lambda kept: without_preferences(plain(kept), processor)


def _has_accelerator() -> bool:
    """Whether a plugin of jax for an accelerator, or Google's TPU library, is installed."""
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return bool(plugins) or importlib.util.find_spec("libtpu") is not None
