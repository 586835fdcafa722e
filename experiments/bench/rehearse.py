"""The headline pages compiled for accelerators that are not here, and predicted memory against what a step takes here.

Results are kept in experiments/results/bench/rehearse.json.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
from ml_collections import ConfigDict

from experiments.bench.loop import SYNTHETIC
from experiments.bench.processes import Elsewhere
from experiments.build.parts import Parts
from experiments.errors import PageError
from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from experiments.rehearse.compiler import Compiler
from experiments.rehearse.devices import GIB, Place, place
from experiments.rehearse.verdict import verdict
from experiments.terminal import say
from training.hardware import forget_peak, peak_memory, release_memory

PLACES = ("h100:1", "h100:8", "tpu:v5e:2x4")
# page -> what is changed: a batch that eight devices divide.
PAGES: dict[str, list[tuple[str, str]]] = {
    "lenet5_mnist": [],
    "resnet20_cifar10": [],
    "vit_fashion_mnist_small": [],
    "unet_scenes": [],
    "unet_camvid": [],
    "unet_isbi:small": [("train.batch_size", "8"), ("train.evaluate_batch_size", "8")],
    "unet_isbi": [("train.batch_size", "8"), ("train.evaluate_batch_size", "8")],
    "resnet50_imagenet": [],
    "ddpm_cifar10": [],
}
# At batch sizes at which the step has most of the memory of the process. The convolutions of the CPU's runtime take
# scratch of their own, which XLA does not plan: a fifth of ResNet-20 and of U-Net.
MEASURED: dict[str, list[tuple[str, str]]] = {
    "mlp_digits": [("train.batch_size", "32768"), ("model.hidden", "(512,512)")],
    "lenet5_digits": [("train.batch_size", "8192")],
    "resnet20_cifar10": [*SYNTHETIC, ("train.batch_size", "256")],
    "vae_mnist": [*SYNTHETIC, ("data.image_size", "28"), ("data.channels", "1"), ("train.batch_size", "20000")],
    "vit_fashion_mnist_small": [*SYNTHETIC, ("train.batch_size", "256")],
    "unet_scenes": [("train.batch_size", "64")],
}


def rehearse_suite() -> Iterator[dict[str, Any]]:
    """Memory measured against predicted on the devices that are here, then every page of PAGES on every place."""
    for name, overrides in MEASURED.items():
        say(f"memory of a step of {name} …")
        with Elsewhere(step_memory, name, overrides) as child:
            row = child.ask()
        off = row["predicted_mb"] / row["measured_mb"] - 1
        yield {"page": name, **row, "off": off, "wanted": "± 15 %", "ok": abs(off) < 0.15}
    for text in PLACES:
        yield from rehearsed(place(text))


def rehearsed(where: Place) -> Iterator[dict[str, Any]]:
    """A row for each page of PAGES at a place."""
    with Compiler(where) as compiler:
        for name, overrides in PAGES.items():
            say(f"{name} on {where.text} …")
            try:
                result = compiler.compile(name, overrides)
            except PageError as error:
                result = {"reason": str(error)}
            row = verdict(result, where)
            collectives = [
                f"{x['count']} {kind}, {x['bytes'] / 1e6:,.1f} MB" for kind, x in row.get("collectives", {}).items()
            ]
            yield {
                "page": name,
                "on": where.text,
                "batch": override(load(name), overrides).train.batch_size,
                "fits": row.get("reason") or ("yes" if row["fits"] else "no"),
                "peak_gib": row["peak"] / GIB if "peak" in row else None,
                "temporaries_gib": row["memory"]["temporaries"] / GIB if "memory" in row else None,
                "macs_of_a_device": sum(row.get("compiled_macs", {}).values()) or None,
                "collectives": "; ".join(collectives),
                "bound": row.get("bound"),
                "step_ms_at_least": 1e3 * row["seconds_at_least"] if "bound" in row else None,
                "images_per_s_at_most": row.get("images_per_s_at_most"),
                "compile_s": row.get("seconds"),
            }


def step_memory(page: ConfigDict) -> Iterator[dict[str, Any]]:
    """Bytes that the compiler says a train step takes, and what the process, or the device, took at most."""
    while True:
        parts = Parts(page)
        state = parts.devices.put_state(parts.initial_state())
        given = (parts.resident("train"), next(parts.feeds(0)), parts.placed_frozen, parts.devices.put(parts.hyper))
        compiled = parts.devices.train_step(parts.step, state).lower(state, *given).compile()
        stats = compiled.memory_analysis()
        arguments = stats.argument_size_in_bytes
        predicted = arguments + stats.output_size_in_bytes - stats.alias_size_in_bytes + stats.temp_size_in_bytes
        jax.block_until_ready((state, given))
        release_memory()
        with contextlib.suppress(OSError):  # where the system does not let it be reset
            forget_peak()
        before = peak_memory()  # which the arguments are part of
        on_device = bool(jax.local_devices()[0].memory_stats())
        for _ in range(2):
            state, _ = compiled(state, *given)
            jax.block_until_ready(state)
        measured = peak_memory() - (0 if on_device else before - arguments)
        yield {"predicted_mb": predicted / 1e6, "measured_mb": measured / 1e6}
