"""The arguments of a command that several processes carry out together, one per host."""

import argparse

from experiments.commands.values import positive


def add_processes(parser: argparse.ArgumentParser) -> None:
    several = parser.add_argument_group("several processes, each started with the same command (one per host)")
    several.add_argument("--distributed", action="store_true", help="join through the cluster: TPU pod, Slurm")
    several.add_argument("--coordinator", metavar="HOST:PORT", help="or join at the address of process 0,")
    several.add_argument("--processes", type=positive, metavar="N", help="with the number of processes,")
    several.add_argument("--process", type=int, metavar="I", help="and the index of this one, from 0")


def join(options: argparse.Namespace) -> bool:
    """Joins the other processes, if there are any. Returns whether this one prints and writes for all."""
    from training import parallel

    if options.distributed or options.coordinator:
        parallel.initialise(options.coordinator, options.processes, options.process)
    return parallel.is_main()
