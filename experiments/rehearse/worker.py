"""The process that compiles: `python -m experiments.rehearse.worker`, a JSON request a line in, JSON lines out.

    {"config": page, "overrides": [[key, value], …], "on": place, "memory": bytes or 0, "program": "train"}

It answers {"stage": text} as it goes on, and then {"result": {…}}, or {"error": line} for what a user can put right.
XLA may end a process; so that this costs one program and not the command, it has a process of its own, in which jax is
told about devices that are not here.
"""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from data.errors import DataError, one_line
from experiments.errors import PageError
from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from experiments.rehearse.devices import place
from models.errors import ModelError
from training.errors import TrainingError


def main() -> None:
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is not an answer
    tell = lambda **fields: print(json.dumps(fields), file=out)
    for line in sys.stdin:
        try:
            tell(result=answer(json.loads(line), lambda stage: tell(stage=stage)))
        except (PageError, DataError, ModelError, TrainingError) as error:
            tell(error=one_line(str(error)))


def _end_with(parent: int) -> None:
    """Ends this process once its parent has ended: a compilation would go on for minutes, for nobody."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def answer(asked: dict[str, Any], tell) -> dict[str, Any]:
    """Compiles what is asked for, and measures it; see `measured`. Raises what a run of the page would raise."""
    tell("building")
    from experiments.rehearse.programs import Rehearsal

    where = place(asked["on"], asked["memory"])
    page = override(load(asked["config"]), [tuple(pair) for pair in asked["overrides"]])
    program = Rehearsal(page, where).program(asked["program"])
    tell("tracing")
    began = time.perf_counter()
    macs = program.macs()
    lowered = program.placed.lower(*program.arguments)
    tell("compiling")
    common = {"sizes": program.sizes, "images": program.images, "macs": macs and macs / where.count}
    try:
        compiled = lowered.compile()
    except Exception as error:  # of XLA: its status is all that it says
        return {**common, **refusal(str(error)), "seconds": time.perf_counter() - began}
    return {**common, **measured(compiled, where, program.sizes), "seconds": time.perf_counter() - began}


def measured(compiled, where, sizes: Mapping[str, int]) -> dict[str, Any]:
    """What a compiled program takes on each device, and what it does in one call.

    sizes: kind -> bytes of what a run holds for the program on each device.

    memory: bytes of what a run holds for it, results that do not take the place of an argument, temporaries and code.
    peak: their sum.
    xla_flops: as XLA counts them, where it does.
    """
    from experiments.rehearse.bounds import bounds
    from experiments.rehearse.hlo import read

    stats = compiled.memory_analysis()
    memory = {
        # XLA pads arrays to the tiles of a TPU, and leaves out what the program does not read, which a run holds too.
        "arguments": max(stats.argument_size_in_bytes, sum(sizes.values())),
        "results": max(stats.output_size_in_bytes - stats.alias_size_in_bytes, 0),
        "temporaries": stats.temp_size_in_bytes,
        "code": stats.generated_code_size_in_bytes,
    }
    program = read(compiled.as_text(), where.count, where.kind.cache)
    gathered = sizes.get("resident data", 0)  # a call reads a few of its rows
    whole = max(stats.argument_size_in_bytes - gathered, 0) + stats.output_size_in_bytes
    cost = compiled.cost_analysis() or {}
    return {
        "memory": memory,
        "peak": sum(memory.values()),
        "compiled_macs": program.macs,
        "valid_macs": program.valid_macs,
        "xla_flops": cost.get("flops"),
        "traffic": program.traffic,
        "collectives": program.by_kind(),
        "kernels": program.kernels,
        "not_counted": {**program.unknown, **({"loops of unknown length": program.endless} if program.endless else {})},
        "bounds": bounds(program, whole, where),
    }


_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = r"([\d.]+)([KMGT]?)"
# How a TPU's compiler reports a program that does not fit: the bytes that it needs, and those of the chip.
_REFUSALS = (
    rf"Used {_SIZE} of {_SIZE} hbm",
    rf"memory required for [\w ]+\({_SIZE}\) exceeds available HBM \({_SIZE}\)",
)


def refusal(text: str) -> dict[str, Any]:
    """XLA's reason; where it is a lack of memory, the `peak` that the program needs at least and what it `exceeds`."""
    found = next(filter(None, (re.search(pattern, text) for pattern in _REFUSALS)), None)
    if found is None:
        return {"reason": one_line(text)[:300]}
    size = lambda number, unit: int(float(number) * _UNITS[unit])
    return {"peak": size(*found.groups()[:2]), "exceeds": size(*found.groups()[2:])}


if __name__ == "__main__":
    main()
