"""`fovea launch`: `fovea train` on this machine, on a cluster, or as commands to paste."""

import argparse
import pathlib
import shlex

from experiments.commands.page import add_config
from experiments.commands.places import add_places
from experiments.errors import PageError
from experiments.launch import PLACES, PRINTED, flags, printed, submit, where
from experiments.pages.catalogue import anywhere
from experiments.pages.stored import check_stored
from experiments.rehearse.compiler import Compiler
from experiments.rehearse.devices import GIB
from experiments.rehearse.devices import place as devices_of
from experiments.rehearse.verdict import verdict
from experiments.runs.workdir import holder
from experiments.terminal import progress, say
from training.errors import choose
from training.trackers import TRACKERS


def arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--workdir", required=True, metavar="DIR", help="folder for records and checkpoints")
    add_places(parser, (*PLACES, *PRINTED))
    rehearse = "which devices the place has, as `fovea rehearse --on` names them: the page is compiled for them first,"
    rehearse += " and what does not fit is not launched"
    parser.add_argument("--rehearse", metavar="DEVICES", help=rehearse)
    parser.add_argument("--force", action="store_true", help="launch what does not fit, too")


def run(options: argparse.Namespace) -> int:
    place, workdir = where(options), pathlib.Path(options.workdir).absolute()
    check(options.page, workdir)
    if options.rehearse:
        check_fits(options.config, options.overrides, options.rehearse, options.force)
    page = anywhere(options.config)
    command = ["train", "--config", page, "--workdir", str(workdir), *flags(options.overrides)]
    if place.on == "tpu":
        print(printed.tpu(command, workdir), end="")
        return 0
    if place.on == "kubernetes":
        print(printed.kubernetes(command, workdir, place.hosts, place.devices), end="")
        return 0
    (job,) = submit(command, place, workdir)
    stopping = {"local": f"fovea stop {shlex.quote(str(workdir))}", "ray": "Ctrl-C"}.get(place.on, job.stopping)
    print(f"{job.name}\n  to follow: tail -f {shlex.quote(str(job.log))}\n  to stop:   {stopping}", flush=True)
    if place.on != "ray":  # the tasks of Ray belong to this process
        return 0
    try:
        return job.wait()
    except KeyboardInterrupt:
        job.stop()
        return job.wait()


def check(page, workdir: pathlib.Path) -> None:
    """Raises PageError or TrainingError if the run would refuse its trackers or its work directory."""
    for name in page.track.to:
        choose(TRACKERS, "track.to", name)
    if holder(workdir)["held"]:
        raise PageError(f"the work directory {workdir} is in use by another run")
    if any(workdir.glob("checkpoints/[0-9]*")):
        check_stored(workdir, page)


def check_fits(config: str, overrides: list[tuple[str, str]], devices: str, force: bool) -> None:
    """Compiles a page's train step for the devices. Raises PageError if it does not fit, unless forced to go on."""
    chosen = devices_of(devices)
    with Compiler(chosen) as compiler, progress(f"train on {devices}") as tell:
        row = verdict(compiler.compile(config, overrides, "train", tell), chosen)
    if row["fits"]:
        return
    needed = (
        f"it takes {row['peak'] / GIB:,.2f} GiB of {row['limit'] / GIB:,.2f} GiB" if "peak" in row else row["reason"]
    )
    line = f"the page does not fit {devices}: {needed}; `fovea rehearse` looks for what does"
    if not force:
        raise PageError(f"{line}, --force launches it all the same")
    say(f"fovea: {line}")
