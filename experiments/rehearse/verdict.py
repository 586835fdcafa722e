"""What a rehearsal found, as a row: whether the program fits, and the bounds on its speed."""

import os
from typing import Any

from experiments.rehearse.devices import Place

Row = dict[str, Any]


def limit(place: Place) -> int:
    """Bytes of a device that a run takes unless jax is told otherwise."""
    kind = place.kind
    memory = kind.memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // place.count
    return int(memory * kind.share)


def verdict(result: dict[str, Any], place: Place) -> Row:
    """`result` of the compiler with these added:

    limit: bytes of a device that a run takes.
    fits: whether the peak is within them; None where the program does not compile.
    seconds_at_least, images_per_s_at_most, bound: by the largest bound, and its name; of programs that fit.
    """
    most = limit(place)
    if "reason" in result:
        return {**result, "limit": most, "fits": None}
    row = {**result, "limit": most, "fits": "exceeds" not in result and result["peak"] <= most}
    if result.get("bounds"):
        name = max(result["bounds"], key=result["bounds"].get)
        seconds = result["bounds"][name]
        row |= {"bound": name, "seconds_at_least": seconds, "images_per_s_at_most": result["images"] / seconds}
    return row


def memory_by_kind(row: Row) -> dict[str, int]:
    """kind -> bytes on each device, which together are the peak; {} of a program that was not compiled."""
    if "memory" not in row:
        return {}
    sizes, memory = row["sizes"], row["memory"]
    return {
        **sizes,
        "padding of arrays": memory["arguments"] - sum(sizes.values()),
        "results": memory["results"],
        "code": memory["code"],
        "temporaries": memory["temporaries"],
    }
