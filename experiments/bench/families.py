"""How fast each family of networks learns and samples, with and without `remat`, and beside PyTorch.

Every variant is a process of its own, and the variants of a family take turns: what is compared are neighbours in time.
`seconds` are those of one train step, or of one call of the sampler. `compile_seconds` is what the first call takes
longer than the others: tracing and compiling, with no cache. `peak_memory_mb` is the most that was resident in the
process since that call (on a GPU: allocated on the device since the start); on a CPU the libraries are part of it.

What was tried on a CPU (two cores with AVX-512), in processor seconds of a step:

kept       gradient of transposed convolutions as that of strided ones (models/layers/conv.py): DCGAN 6.0 -> 1.4,
           U-Net 2.4 -> 1.25; XLA turned it into a convolution with a reversed window, for which it has no fast path
kept       gradients of every convolution written out in the natural order of dimensions (there too), and few channels
           as products of patches: as fast as before outside of loops, or faster, and no slower within them
kept       memory in huge pages (GLIBC_TUNABLES below): ViT-S 3.7 -> 2.9, U-Net 1.24 -> 1.11, DDPM 1.20 -> 1.12; a
           quarter of a ViT's step were page faults, for XLA returns its memory after every call. Torch: 4.7 -> 4.55
not kept   3×3 convolutions differentiated as nine products of matrices: 40 % faster than the convolution by the
           deepest kernels of a U-Net (1024 -> 1024), slower by all that meet more than 32 × 32 pixels: 5 % of a step
not kept   kernel gradients from patches: 0.5 to 1 times as fast; strided convolutions as space-to-depth: 0.3 to 0.9
not kept   queries, keys and values in one product: 2.8 against 2.8; jax.nn.dot_product_attention: 3.0
not kept   by shape: products with patches for maps of at most 16 × 16 and 256 channels or more, the gradient by the
           image in phases where there are strides, the gradient by wide kernels as a product. Alone 1.3 to 2 times as
           fast, but whole steps are slower: DCGAN 0.68 -> 0.73, DDPM 5 % in the median of nine turns
not kept   attention with the heads in front, or as one batch: 7.3 -> 5.9 ms forward, 22.7 -> 22.1 with gradients of
           [16, 197, 6, 64]; without huge pages it was 21 and 71
not kept   bfloat16: ViT-S 2.8 -> 3.4, DDPM 1.11 -> 1.22
not kept   XLA's flags for oneDNN and 512-bit vectors: no difference; its scheduler for memory: a fifth less memory for
           temporaries of a ViT-S, DCGAN 1.10 -> 1.20

On a CPU `remat` saves no memory (1.9 GB of temporaries for a ViT-S, 1.7 GB without): it is meant for accelerators, and
`fovea show` says what it saves there. The peak of a process was 1 GB more until the memory that compilation had freed
was returned to the system (training/hardware.py) and the host stopped keeping the first state.
"""

import dataclasses
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.bench.loop import BLOCK_SECONDS, BareStep, number_of
from experiments.bench.processes import Elsewhere, Process, median_of, run
from experiments.build.parts import Parts
from experiments.pages.overrides import override
from experiments.terminal import say
from training.errors import TrainingError
from training.hardware import forget_peak, peak_memory

TURNS = 3
TORCH = pathlib.Path(__file__).with_name("torch.py")  # a program for a Python that has torch

VERSIONS = "import torch, timm, diffusers; print(*(f'{m.__name__} {m.__version__}' for m in (torch, timm, diffusers)))"

# The ratio to reach, torch's seconds over ours. On a CPU, XLA's convolutions in float32 are the bound.
WANTED = {"cpu": {"matmul": 1.0, "convolution": 0.85}, "gpu": {"matmul": 1.2, "convolution": 1.2}}


# Measurements: each runs in a process of its own, and gives row after row.


def training(page: ConfigDict, seconds: float = BLOCK_SECONDS) -> Iterator[dict[str, Any]]:
    """Rows for a page's train step, each timed for about `seconds`."""
    bare = BareStep(page)
    return rows(bare.time, bare.first_seconds, bare.parameters, page.train.batch_size, seconds)


def sampling(page: ConfigDict, seconds: float = BLOCK_SECONDS) -> Iterator[dict[str, Any]]:
    """Of drawing a batch of images, all in one call, from a network as it is initialised."""
    parts = Parts(override(page, [("devices.kind", "mesh")]))
    state = parts.devices.put_state(parts.initial_state())
    condition = {"id": jnp.arange(page.train.batch_size)}
    draw_from = parts.task.makes.draw
    draw = jax.jit(lambda state, key: draw_from(state.params, state.stats, key, condition, parts.frozen))

    def time_of(calls):
        began = time.perf_counter()
        for i in range(calls):
            images = draw(state, jax.random.key(i))
        jax.block_until_ready(images)
        return time.perf_counter() - began

    return rows(time_of, time_of(1), number_of(state.params), page.train.batch_size, seconds)


def rows(time_of: Callable[[int], float], first: float, parameters: int, batch: int, seconds: float):
    """Rows of a call that takes `time_of(n)` seconds n times, and took `first` seconds the first time."""
    forget_peak()
    calls = max(1, round(seconds / time_of(1)))
    while True:
        time_of(1)  # the process has rested, and finds its memory cold
        each = time_of(calls) / calls
        yield {
            "seconds": each,
            "examples_per_s": batch / each,
            "compile_seconds": max(first - each, 0),
            "peak_memory_mb": peak_memory() / 2**20,
            "parameters": parameters,
        }


# What is measured.


@dataclasses.dataclass(frozen=True)
class Family:
    page: str
    overrides: dict[str, str]
    batch: tuple[int, int]  # on a CPU, on an accelerator
    bound: str  # what most of the time goes into: "matmul" | "convolution"
    torch: str  # the function of bench_torch.py
    remat: bool = False  # whether the network can
    measure: Callable = training


# The data are made up, as small as a batch allows and neither augmented nor averaged: the step is what is measured.
PLAIN = {"data.train": "train", "data.validation": "", "data.augment": "", "train.ema": "0"}
SYNTHETIC = {"data.name": "synthetic", "data.num_examples": "512", **PLAIN}
SCENES = {"data.size": "256", "data.num_train": "64", **PLAIN}
VIT = {"model.name": "vit", "model.variant": "S", "optimizer.no_decay": ""}
DDIM = {"task.sampler": "ddim", "task.sampling_steps": "50"}

FAMILIES = {
    "ViT-S/16": Family(
        "vit_fashion_mnist_small",
        {**SYNTHETIC, **VIT, "data.image_size": "224"},
        batch=(16, 256),
        bound="matmul",
        torch="vit",
        remat=True,
    ),
    "U-Net": Family(
        "unet_scenes",
        {**SCENES, "model.width": "64", "model.depth": "4", "task.loss": "cross_entropy"},
        batch=(1, 16),
        bound="convolution",
        torch="unet",
        remat=True,
    ),
    "VAE": Family(
        "vae_mnist",
        {**SYNTHETIC, "data.image_size": "28", "data.channels": "1"},
        batch=(100, 100),
        bound="matmul",
        torch="vae",
    ),
    "DCGAN": Family(
        "dcgan_fashion_mnist",
        {**SYNTHETIC, "data.image_size": "64", "train.ema_players": ""},
        batch=(64, 128),
        bound="convolution",
        torch="dcgan",
    ),
    "DDPM U-Net": Family("ddpm_cifar10", SYNTHETIC, batch=(4, 128), bound="convolution", torch="ddpm", remat=True),
    "DDIM, 50 steps": Family(
        "ddpm_cifar10", {**SYNTHETIC, **DDIM}, batch=(1, 128), bound="convolution", torch="ddim", measure=sampling
    ),
}


def families_suite(torch: str = sys.executable) -> Iterator[dict[str, Any]]:
    """Each family in turn. `torch`: a Python that has torch, timm and diffusers; without them it is left out."""
    backend = run([sys.executable, "-c", "import jax; print(jax.default_backend())"], "jax")
    try:
        yield {"beside": run([torch, "-P", "-c", VERSIONS], torch)}
    except TrainingError as error:
        yield {"beside": f"nothing: {error}"}
        torch = None
    for name, family in FAMILIES.items():
        yield from compare(name, family, backend, torch)


def compare(name: str, family: Family, backend: str, torch: str | None) -> Iterator[dict[str, Any]]:
    """A row for each variant of a family, then one for each comparison with torch."""
    cpu = backend == "cpu"
    batch = str(family.batch[0 if cpu else 1])
    environment = {
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # fewer page faults: 20 % of a ViT's step, hardly any of torch's
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # several processes share the device, ...
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0],  # ... and it is one
    }

    def ours(**more):
        overrides = {**family.overrides, "train.batch_size": batch, **more}
        return Elsewhere(family.measure, family.page, list(overrides.items()), **environment)

    def theirs(mode):
        command = [torch, "-P", str(TORCH), family.torch, mode, batch, "cpu" if cpu else "cuda"]
        return Process(f"{name} in torch, {mode}", command, **environment)

    variants = {"fovea": ours}
    if family.remat:
        variants["fovea, remat"] = lambda: ours(**{"model.remat": "true"})
    if torch:
        variants |= {f"torch, {mode}": lambda mode=mode: theirs(mode) for mode in ("eager", "compiled")}
    with ExitStack() as stack:
        children = {}
        for variant, start in variants.items():
            say(f"{name}: {variant} …")
            child = stack.enter_context(start())
            try:
                child.ask()  # compiles
                children[variant] = child
            except TrainingError as error:
                yield {"family": name, "variant": variant, "failed": str(error)}
        turns = [{variant: child.ask() for variant, child in children.items()} for _ in range(TURNS)]
    for variant in children:
        yield {"family": name, "variant": variant, "batch": int(batch), **median_of([turn[variant] for turn in turns])}
    for variant in children:
        if "fovea" in children and variant.startswith("torch"):
            ratio = statistics.median(turn[variant]["seconds"] / turn["fovea"]["seconds"] for turn in turns)
            wanted = WANTED["cpu" if cpu else "gpu"][family.bound]
            against = {"family": name, "against": variant, "bound": family.bound, "ratio": ratio}
            yield {**against, "wanted": wanted, "ok": ratio >= wanted}
