"""The accelerators that a page can be rehearsed for, and how the command line names them.

h100:8          one host of eight            tpu:v5e:2x4     a slice of eight chips
h100:2x8        two hosts of eight           cpu:8           this machine's CPU as eight devices
"""

import dataclasses
import math
import re
from collections.abc import Mapping

from experiments.errors import PageError, near

GIB, TERA = 2**30, 1e12
EXAMPLES = "h100:8, h100:2x8, tpu:v5e:2x4 or cpu:8"


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the makers state of one device.

    Attributes:
      name: as `device_kind` has it.
      platform: "gpu", "tpu" or "cpu", as `jax.default_backend` calls it.
      memory: bytes that a program can address.
      share: of the memory, which jax takes unless it is told otherwise.
      peaks: operations/s by the type of the factors of a product, dense; a type that is not here has the peak of "f32".
      bandwidth: bytes/s of the memory.
      cache: bytes that may keep an array between two kernels; 0 where the compiler places arrays itself.
      link: bytes/s, in one direction, from a device to the others of its host, or of its slice.
      network: bytes/s, in one direction, from a device to other hosts; 0: a slice has one network.
      reduces: whether the switch between the devices adds up, so that each sends and receives a sum once.
      target: fields of XLA's GpuTargetConfig that differ between the kinds; "": XLA knows the device.
    """

    name: str
    platform: str
    memory: int
    share: float
    peaks: Mapping[str, float]
    bandwidth: float
    cache: int
    link: float
    network: float = 0.0
    reduces: bool = False
    target: str = ""


# Memory, caches and targets: the specifications in XLA's sources (xla/backends/gpu/target_config/specs). Peaks,
# bandwidths and NVLink: NVIDIA's data sheets of the A100, H100, H200 and HGX B200, SXM boards, without sparsity; a
# float32 product is TensorFloat-32, jax's default. Networks: a 200 Gbit/s (DGX A100) or 400 Gbit/s (DGX H100, B200)
# adapter for each GPU. NVLink switches add up from the H100 on (SHARP). jax takes three quarters of a GPU's memory:
# https://docs.jax.dev/en/latest/gpu_memory_allocation.html.
_HOPPER = (
    "cuda_compute_capability { major: 9 } shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448"
    " core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98"
)
_HOPPER_PEAKS = {"bf16": 989.4 * TERA, "f16": 989.4 * TERA, "f32": 494.7 * TERA, "f64": 66.9 * TERA}
_GPU = dict(platform="gpu", share=0.75)
_TPU = dict(platform="tpu", share=1.0, cache=0)

KINDS = {
    "a100": Kind(
        name="NVIDIA A100-SXM4-80GB",
        memory=85_100_068_864,
        peaks={"bf16": 312 * TERA, "f16": 312 * TERA, "f32": 156 * TERA, "f64": 19.5 * TERA},
        bandwidth=2.039e12,
        cache=41_943_040,
        link=300e9,
        network=25e9,
        target="cuda_compute_capability { major: 8 } shared_memory_per_core: 167936"
        " shared_memory_per_block_optin: 166912 core_count: 108 fpus_per_core: 64 clock_rate_ghz: 1.41",
        **_GPU,
    ),
    "h100": Kind(
        name="NVIDIA H100 80GB HBM3",
        memory=84_942_979_072,
        peaks=_HOPPER_PEAKS,
        bandwidth=3.35232e12,
        cache=52_428_800,
        link=450e9,
        network=50e9,
        reduces=True,
        target=_HOPPER,
        **_GPU,
    ),
    "h200": Kind(
        name="NVIDIA H200 141GB HBM3e",
        memory=151_397_597_184,
        peaks=_HOPPER_PEAKS,
        bandwidth=4.8e12,
        cache=52_428_800,
        link=450e9,
        network=50e9,
        reduces=True,
        target=_HOPPER,
        **_GPU,
    ),
    "b200": Kind(
        name="NVIDIA B200",
        memory=191_514_411_008,
        peaks={"bf16": 2_250 * TERA, "f16": 2_250 * TERA, "f32": 1_125 * TERA, "f64": 37 * TERA},
        bandwidth=7.67232e12,
        cache=132_644_864,
        link=900e9,
        network=50e9,
        reduces=True,
        target="cuda_compute_capability { major: 10 } shared_memory_per_core: 233472"
        " shared_memory_per_block_optin: 232448 core_count: 148 fpus_per_core: 128 clock_rate_ghz: 1.965",
        **_GPU,
    ),
    # Google's pages on each version (docs.cloud.google.com/tpu/docs/v5e, …). Half of the bidirectional bandwidth
    # between chips; a float32 product is one of bfloat16 unless a page asks for more. Memory: what XLA's compiler has
    # of each, as it says where a program takes more.
    "v4": Kind(
        name="TPU v4",
        memory=int(30.75 * GIB),
        peaks={"bf16": 275 * TERA, "f32": 275 * TERA},
        bandwidth=1.228e12,
        link=300e9,
        **_TPU,
    ),
    "v5e": Kind(
        name="TPU v5 lite",
        memory=int(15.75 * GIB),
        peaks={"bf16": 197 * TERA, "f32": 197 * TERA, "s8": 393 * TERA},
        bandwidth=0.819e12,
        link=200e9,
        **_TPU,
    ),
    "v5p": Kind(
        name="TPU v5",
        memory=int(95.73 * GIB),
        peaks={"bf16": 459 * TERA, "f32": 459 * TERA, "s8": 918 * TERA},
        bandwidth=2.765e12,
        link=600e9,
        **_TPU,
    ),
    "v6e": Kind(
        name="TPU v6 lite",
        memory=int(31.24 * GIB),
        peaks={"bf16": 918 * TERA, "f32": 918 * TERA, "s8": 1_836 * TERA},
        bandwidth=1.638e12,
        link=400e9,
        **_TPU,
    ),
    "cpu": Kind(
        name="cpu", platform="cpu", memory=0, share=1.0, peaks={}, bandwidth=0.0, cache=0, link=0.0
    ),  # nothing is stated of it: no bounds
}
GPUS = [key for key, kind in KINDS.items() if kind.platform == "gpu"]
SLICES = [key for key, kind in KINDS.items() if kind.platform == "tpu"]

# What all GPUs here have in common, and a version of cuDNN that knows them.
_TARGET = """gpu_device_info {{ {target} threads_per_block_limit: 1024 threads_per_warp: 32
shared_memory_per_block: 49152 threads_per_core_limit: 2048
block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
registers_per_core_limit: 65536 registers_per_block_limit: 65536 memory_bandwidth: {bandwidth} l2_cache_size: {cache}
device_memory_size: {memory} }} platform_name: "CUDA" dnn_version_info {{ major: 9 minor: 10 }}
device_description_str: "{name}" """


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a page is rehearsed.

    Attributes:
      text: as it was written.
      key: of KINDS.
      shape: of a TPU slice, chips on each axis; of GPUs (hosts, devices of each).
      memory: bytes of a device, where they are not those of its kind.
    """

    text: str
    key: str
    shape: tuple[int, ...]
    memory: int = 0

    @property
    def kind(self) -> Kind:
        kind = KINDS[self.key]
        return dataclasses.replace(kind, memory=self.memory) if self.memory else kind

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def per_host(self) -> int:
        """Devices between which `kind.link` is the way."""
        return self.shape[-1] if self.kind.network else self.count

    @property
    def target(self) -> str:
        """XLA's GpuTargetConfig, as text."""
        kind = self.kind
        memory = KINDS[self.key].memory  # of the device: a limit by the user leaves the program as it is
        return _TARGET.format(
            target=kind.target, bandwidth=int(kind.bandwidth), cache=kind.cache, memory=memory, name=kind.name
        )

    @property
    def topology(self) -> str:
        """The name by which XLA makes the devices."""
        shape = "x".join(map(str, self.shape))
        return f"1x{shape}" if self.kind.platform == "gpu" else f"{self.key}:{shape}"


def place(text: str, memory: int = 0) -> Place:
    """The place that --on names. Raises PageError for an unknown device or a shape that it cannot have."""
    words = text.lower().split(":")
    slice_ = words[0] == "tpu"
    key, *shape = words[1:] if slice_ and len(words) > 1 else words
    known = SLICES if slice_ else [*GPUS, "cpu"]
    if key in SLICES and not slice_:
        raise PageError(f"--on {text}: did you mean 'tpu:{text}'?")
    if key not in known or (slice_ and len(words) < 2):
        raise PageError(f"--on {text}: unknown device {key!r}{near(key, known)} (as in {EXAMPLES})")
    axes = 3 if key in ("v4", "v5p") else 2
    like = {"tpu": f"tpu:{key}:" + "x".join("2" * axes), "gpu": f"{key}:8 or {key}:2x8", "cpu": "cpu:8"}
    wrong = PageError(f"--on {text}: write {like[KINDS[key].platform]}")
    if len(shape) > 1 or (slice_ and not shape) or (shape and not re.fullmatch(r"[0-9]{1,4}(x[0-9]{1,4})*", shape[0])):
        raise wrong
    sides = tuple(map(int, shape[0].split("x"))) if shape else (1,)
    if slice_:
        fits = len(sides) == axes
    elif key == "cpu":
        fits = len(sides) == 1
    else:
        sides, fits = (1,) * (2 - len(sides)) + sides, len(sides) <= 2
    if not fits or min(sides) < 1:
        raise wrong
    if math.prod(sides) > 1024:
        raise PageError(f"--on {text}: {math.prod(sides)} devices; at most 1,024 can be rehearsed")
    return Place(text, key, sides, memory)
