"""What devices can do at most, and the record of memory."""

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
