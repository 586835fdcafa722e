"""What the devices can do at most, and the memory of this process."""

import contextlib
import ctypes
import gc
import pathlib

import jax

# Operations/s of one device in bfloat16, dense, by the start of its `device_kind`: the vendors' data sheets. A float32
# product takes the same units on a TPU, and slower ones on a GPU (TF32 half of this).
PEAKS = {
    "NVIDIA A100": 312e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA B200": 2250e12,
    "NVIDIA L4": 121e12,
    "NVIDIA L40S": 362e12,
    "Tesla V100": 125e12,  # float16: it has no bfloat16
    "Tesla T4": 65e12,  # float16
    "TPU v3": 123e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
}


def peak_operations(kind: str) -> float | None:
    """Operations/s that a device of this `device_kind` can do at most; None where it is not known (every CPU)."""
    names = [name for name in PEAKS if kind.startswith(name)]
    return PEAKS[max(names, key=len)] if names else None


def peak_memory() -> int:
    """Bytes at most: allocated on the first device of this process, or on a CPU resident in it.

    Since the start, or on a CPU since `forget_peak`; 0 where the system does not say.
    """
    allocated = jax.local_devices()[0].memory_stats()
    if allocated:
        return allocated["peak_bytes_in_use"]
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def forget_peak() -> None:
    """Resets the record of resident memory."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def release_memory() -> None:
    """Returns to the system what compilation has freed: a gigabyte for a large network. For glibc; elsewhere nothing.

    glibc keeps freed memory for the process, in pieces that the large arrays of a step do not fit into.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
