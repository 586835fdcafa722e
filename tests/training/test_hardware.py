"""What devices can do at most, and the record of memory."""

import platform
import subprocess
import sys

import numpy as np
import pytest

from training import hardware


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("TPU v5 lite", 197e12),
        ("TPU v5", 459e12),
        ("cpu", None),
    ],
)
def test_the_peak_of_a_kind_of_device(kind, peak):
    assert hardware.peak_operations(kind) == peak


def test_the_record_of_memory_can_be_reset():
    ballast = np.ones(2**26, np.uint8)  # 64 MiB
    del ballast
    before = hardware.peak_memory()
    hardware.forget_peak()
    assert hardware.peak_memory() < before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc keeps what is freed in the middle of its heap")
def test_memory_that_was_freed_goes_back_to_the_system():
    code = """
from experiments.bench.scale import rss_anon
from training.hardware import release_memory
pieces = [bytearray(4096) for _ in range(2**15)]  # 128 MiB in the heap
last = bytearray(4096)  # above them, so that the heap does not shrink by itself
del pieces
before = rss_anon()
release_memory()
print(before - rss_anon())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 100 * 2**20
