"""The arguments that `experiments.launch.where` reads: where a command runs, and with what."""

import argparse

from experiments.commands.values import parameter, positive


def add_places(parser: argparse.ArgumentParser, places: tuple[str, ...]) -> None:
    on = "this machine (in the background), SLURM, Ray"
    on += "; for tpu and kubernetes fovea prints what to paste" * ("tpu" in places)
    parser.add_argument("--on", choices=places, default="local", help=on)
    devices = (
        "accelerators of each host; default: all of this machine's, or what the cluster gives. With JAX_PLATFORMS=cpu"
        " the CPU is split into N devices"
    )
    parser.add_argument("--devices", type=positive, metavar="N", help=devices)
    hosts = "processes that train together, one on each host; local: all on this machine"
    parser.add_argument("--hosts", type=positive, default=1, metavar="N", help=hosts)
    parser.add_argument("--address", default="", metavar="HOST:PORT", help="the Ray cluster; default: this machine's")
    slurm = "a parameter of submitit: time=MINUTES (required), partition=gpu, cpus_per_task=8"
    parser.add_argument("--slurm", action="append", type=parameter, metavar="KEY=VALUE", help=slurm)
