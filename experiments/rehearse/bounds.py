"""The roofline: what a call of a program takes at least, by the peaks that the makers state. Bounds, not predictions.

    time ≥ max(2 · MACs / peak, traffic / bandwidth, Σ over collectives of bytes through the narrowest way / bandwidth)

Williams et al. 2009, "Roofline". Latencies, launches and what the peaks leave out come on top.
"""

import math

from experiments.rehearse.devices import Kind, Place
from experiments.rehearse.hlo import Collective, Program, group_hosts


def bounds(program: Program, whole: int, place: Place) -> dict[str, float]:
    """name of a bound -> seconds a call; {} where nothing is stated of the device.

    Args:
      whole: bytes of arguments and results on each device. The program reads or writes each at least once.
    """
    kind = place.kind
    if not kind.peaks:
        return {}
    compute = sum(2 * macs / kind.peaks.get(of, kind.peaks["f32"]) for of, macs in program.valid_macs.items())
    memory = max(program.traffic, whole) / kind.bandwidth
    between = sum(one.times * seconds(one, kind, place.per_host) for one in program.collectives)
    return {"compute": compute, "memory": memory, "interconnect": between}


def seconds(one: Collective, kind: Kind, per_host: int) -> float:
    """The least that one collective takes: that of the narrower of the ways inside a host and between hosts.

    In a group of n each device sends and receives at least (n - 1) / n of the array that is gathered, scattered or
    exchanged, and twice that of a sum, or all of it once where the switch adds up. Of the hosts the same is true.
    """
    if one.kind == "collective-permute":
        return one.bytes / kind.link
    n = len(one.group)
    hosts = group_hosts(one.group, per_host) if kind.network else 1
    each = math.ceil(n / hosts)
    twice = 2 if one.kind == "all-reduce" else 1
    share = lambda members: twice * (members - 1) / members
    inside = share(each)
    if one.kind == "all-reduce" and kind.reduces:
        inside = min(inside, 1.0)
    # The adapters of a host's devices carry its part together.
    outside = share(hosts) * one.bytes / (each * kind.network) if hosts > 1 else 0.0
    if one.kind == "all-to-all":  # of each device's own array only what stays on the host avoids the network
        outside *= each
    return max(inside * one.bytes / kind.link, outside)
