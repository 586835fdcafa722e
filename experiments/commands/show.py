"""`fovea show`: a page with all its defaults, and what its network costs, from shapes alone."""

import argparse
import math
from collections.abc import Mapping

from ml_collections import ConfigDict
from rich.table import Table

from experiments.commands.page import add_config
from experiments.pages.schema import SECTIONS
from experiments.terminal import show


def arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)


def run(options: argparse.Namespace) -> None:
    import jax

    from experiments.build.cost import layers, macs, memory, outline, with_remat

    page = options.page
    for name in SECTIONS:
        print("\n".join(_lines(page[name], name)))
    parts = outline(page)
    table = Table("layer", "parameters", "shapes")
    for layer, shapes in layers(parts).items():
        text = "  ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in shapes.items())
        table.add_row(layer, f"{sum(map(math.prod, shapes.values())):,}", text)
    show(table)

    total = sum(math.prod(shape) for shapes in layers(parts).values() for shape in shapes.values())
    print(f"parameters               {_against(total, page.paper.parameters)}")
    try:
        print(f"multiply-adds, 1 example {_against(macs(parts), page.paper.macs)}")
    except ValueError as error:
        print(f"multiply-adds            not counted: {error}")
    print(f"\nmemory of each of {jax.device_count()} device(s), estimated for batch {page.train.batch_size}")
    sizes = memory(parts)
    for name, size in {**sizes, "total": sum(sizes.values())}.items():
        print(f"{name:24} {size / 2**20:12,.2f} MiB")
    if lighter := with_remat(page):
        kept = memory(outline(lighter))["activations"]
        saved = sizes["activations"] - kept
        print(f"{'activations with remat':24} {kept / 2**20:12,.2f} MiB, {saved / 2**20:,.2f} MiB less")


def _against(found: int, published: int | None) -> str:
    if published is None:
        return f"{found:,}"
    return f"{found:,} " + ("= published" if found == published else f"≠ published {published:,}")


def _lines(section: Mapping | ConfigDict, prefix: str):
    for key, value in section.items():
        if isinstance(value, Mapping | ConfigDict):
            yield from _lines(value, f"{prefix}.{key}")
        else:
            yield f"{prefix + '.' + key:32} {value!r}"
