"""The command `fovea`: arguments, and which function carries them out.

A command's function stands in `experiments/commands` and takes the parsed arguments, with `page` among them. It is
imported when the page is known to exist, so that what needs no jax answers without it.
"""

import argparse
import difflib
import importlib
import json
import os
import pathlib
import re
import sys
import time

from ml_collections import ConfigDict

from data.errors import DataError
from experiments.errors import PageError
from experiments.launch import PLACES, PRINTED
from experiments.pages import schema as pages
from models.errors import ModelError
from training.errors import TrainingError

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 75  # EX_TEMPFAIL: saved, start the same command again
USER_ERRORS = (PageError, DataError, ModelError, TrainingError)  # one line each; anything else is a bug of ours


def main(arguments: list[str] | None = None) -> int:
    """Carries out a command line and returns its exit code."""
    began = time.perf_counter() - (_age() if arguments is None else 0.0)
    options, rest = _parser().parse_known_args(arguments)
    try:
        options.began = began
        options.overrides = _overrides(rest, options.command)
        options.page = _page(options, options.overrides)
        module, _, function = options.target.partition(":")
        return getattr(importlib.import_module(f"experiments.commands.{module}"), function)(options) or 0
    except USER_ERRORS as error:
        print(f"fovea: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT


def _age() -> float:
    """Seconds since this process began, which is before Python can look at a clock; 0 where only Linux would tell."""
    try:
        ticks = int(pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return 0.0


class _Parser(argparse.ArgumentParser):
    """Reports bad arguments in one line, as every mistake of a user is."""

    def error(self, message):
        self.exit(EXIT_BAD_INPUT, f"fovea: {message} ({self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fovea", description="Computer vision experiments in JAX.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")

    def add(name, target, text, *, config=False, workdir=False):
        """A command that `target` in `experiments.commands` carries out, and which of the usual arguments it has."""
        usage = "Any key of the page is set by --config.section.key=value." if config or workdir else None
        command = commands.add_parser(name, help=text, description=text, epilog=usage, allow_abbrev=False)
        command.set_defaults(target=target, command=command)
        if config:
            command.add_argument("--config", required=True, metavar="PAGE", help="a page's name, or its file")
        if workdir:
            command.add_argument("--workdir", required=True, metavar="DIR", help="where records and checkpoints stand")
        return command

    train = add("train", "train:train", "Train what a page describes; goes on where it was interrupted.", config=True)
    train.add_argument("--workdir", metavar="DIR", help="where records and checkpoints go")
    train.add_argument("--fork", action="store_true", help="go on although the workdir's page differs")
    train.add_argument("--seeds", type=_positive, metavar="N", help="so many runs in DIR/seed0, …, as one program")
    closer = train.add_mutually_exclusive_group()
    closer.add_argument("--profile", type=_positive, metavar="N", help="trace N steps into DIR/profile")
    closer.add_argument("--debug", action="store_true", help="say where what is not finite came from")
    train.add_argument("--overfit", action="store_true", help="instead: can it learn one batch by heart? exit code 0/1")

    reproduce = add(
        "reproduce", "reproduce:reproduce", "Train pages that stand for a paper; add their rows to the ledger."
    )
    reproduce.add_argument("names", nargs="*", metavar="PAGE", help="else all of which the data are at hand")
    reproduce.add_argument("--budget", type=_minutes, metavar="MINUTES", help="end in so long; the next call goes on")
    seeds = "how many, from the page's own on, or which: 0,1,2 (one: 7,); else those of its row in the ledger"
    reproduce.add_argument("--seeds", type=_seeds, metavar="N", help=seeds)
    reproduce.add_argument("--workdir", dest="root", metavar="DIR", default="runs", help="runs go to DIR/PAGE/seed<N>")

    several = train.add_argument_group("several processes, each started with the same command (one per host)")
    several.add_argument("--distributed", action="store_true", help="found through the cluster: TPU pod, Slurm")
    several.add_argument("--coordinator", metavar="HOST:PORT", help="or name the address of process 0,")
    several.add_argument("--processes", type=_positive, metavar="N", help="how many they are,")
    several.add_argument("--process", type=int, metavar="I", help="and which one this is, from 0")

    evaluate = add("eval", "evaluate:evaluate", "Measure a trained network; adds to DIR/eval.json.", workdir=True)
    evaluate.add_argument("--step", type=int, metavar="N", help="of this checkpoint; else of the best, else the newest")
    evaluate.add_argument("--split", default="test", metavar="S", help="test, validation, train, or like test[:50%%]")
    evaluate.add_argument(
        "--over", action="append", type=_choices, metavar="KEY=V,V,…", help="for each value of a key of the page, drawn"
    )

    predict = add("predict", "evaluate:predict", "What a trained network makes of images.", workdir=True)
    predict.add_argument("--step", type=int, metavar="N", help="of this checkpoint; else of the best, else the newest")
    predict.add_argument("--out", metavar="DIR", default=".", help="where pictures go, for tasks that draw them")
    predict.add_argument("images", nargs="+", metavar="IMAGE")

    sample = add("sample", "sample:sample", "New images from a trained generative network.", workdir=True)
    sample.add_argument("--num", type=_positive, default=80, metavar="N", help="how many")
    sample.add_argument("--class", dest="label", metavar="C", help="all of this class, by name or number")
    sample.add_argument("--steps", type=_positive, metavar="S", help="of a diffusion's sampler")
    sample.add_argument("--path", choices=("plane", "interpolation"), help="through the latent codes, not at random")
    sample.add_argument("--seed", type=int, default=0, metavar="S")
    sample.add_argument("--step", type=int, metavar="N", help="of this checkpoint; else of the best, else the newest")
    sample.add_argument("--out", default="samples.png", metavar="FILE")

    launch = add("launch", "launch:launch", "Train what a page describes, elsewhere.", config=True, workdir=True)
    _places(launch, (*PLACES, *PRINTED))

    sweep = add("sweep", "sweep:sweep", "Search over keys of a page; the same command goes on where it stopped.")
    sweep.epilog = "Any key of the page is set by --config.section.key=value."
    sweep.add_argument("--config", metavar="PAGE", help="a page's name, or its file")
    sweep.add_argument("--workdir", dest="folder", required=True, metavar="DIR", help="where all trials stand")
    spaces = "what to search: log:1e-4..1e-1, 0.0..0.5 or 20,32,44; also sweep() of a page"
    sweep.add_argument("--over", action="append", type=_space, metavar="KEY=SPACE", help=spaces)
    metric = "of the records; else that by which the page's task ranks checkpoints. A trial's value is its best"
    sweep.add_argument("--metric", metavar="NAME", help=metric)
    sweep.add_argument("--goal", metavar="max|min", help="else as the metric has it")
    sweep.add_argument("--trials", type=int, metavar="N", help="32; of a grid, all")
    sweep.add_argument("--sampler", metavar="NAME", help="tpe, random, grid or cmaes")
    sweep.add_argument("--pruner", metavar="NAME", help="none, median, hyperband or asha: ends trials that lag behind")
    sweep.add_argument("--seed", type=int, metavar="S", help="of the sampler")
    sweep.add_argument("--storage", metavar="URL", help="postgresql://… or mysql://…; else a file in DIR")
    together = "how many trials at most are trained as one program: auto, no or N"
    sweep.add_argument("--vectorize", type=_together, default="auto", metavar="auto", help=together)
    sweep.add_argument("--workers", type=_positive, default=1, metavar="N", help="processes that share the trials")
    sweep.add_argument("--worker", action="store_true", help="join the sweep in DIR; nothing else need be said")
    _places(sweep, PLACES)

    runs = add("ps", "runs:ps", "List the runs under a folder: state, step, speed, best metric.")
    runs.add_argument("root", nargs="?", default=".", metavar="DIR")

    add("stop", "runs:stop", "Ask a run to save and end, as Ctrl-C does.").add_argument("workdir", metavar="DIR")

    compare = add("compare", "runs:compare", "In what two runs, or two folders of seeds, differ.")
    compare.add_argument("first", metavar="A")
    compare.add_argument("second", metavar="B")

    report = add("report", "report:report", "Runs, sweeps and the ledger as one HTML page that needs no network.")
    report.add_argument("folders", nargs="*", metavar="DIR", help="a run, a sweep, or a folder of them")
    report.add_argument("--out", default="report.html", metavar="FILE")

    listing = add("list", "listing:listing", "List what a page can name.")
    listing.add_argument("kind", nargs="?", choices=("models", "tasks", "data", "configs"))

    add("show", "show:show", "Show a page, its parameters, multiply-adds and memory, without training.", config=True)

    picture = add("data", "data:data", "Draw an augmented training batch with its labels.", config=True)
    picture.add_argument("--out", metavar="FILE", default="batch.png")

    bench = add("bench", "bench:bench", "Measure speed: the loop of a page against its bare step, or a suite.")
    what = bench.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", metavar="PAGE", help="a page's name, or its file")
    what.add_argument("--suite", metavar="NAME", help="loop, stream, scale, startup, families or sweep")
    bench.add_argument("--torch", metavar="PYTHON", help="families: a Python that has torch; else this one")
    bench.add_argument("--out", default="bench.json", metavar="FILE", help="the numbers as JSON")

    ledger = add("ledger", "ledger:ledger", "Add a row to the ledger of reproductions, or render its table.")
    ledger.add_argument("action", choices=("add", "render"))
    ledger.add_argument("--workdir", dest="workdirs", nargs="+", metavar="DIR", help="add: the ended runs of one page")
    return parser


def _places(command: argparse.ArgumentParser, places: tuple[str, ...]) -> None:
    """The arguments that `experiments.launch.where` reads."""
    on = "this machine (in the background), SLURM, Ray; of tpu and kubernetes, what is to be pasted is printed"
    command.add_argument("--on", choices=places, default="local", help=on if "tpu" in places else on.partition(";")[0])
    devices = (
        "accelerators of each host. This machine must have them (with JAX_PLATFORMS=cpu the CPU is split into so many),"
        " and gives all of them unasked; a cluster gives none unasked"
    )
    command.add_argument("--devices", type=_positive, metavar="N", help=devices)
    hosts = "processes that train together, one on each host; local: all on this machine"
    command.add_argument("--hosts", type=_positive, default=1, metavar="N", help=hosts)
    command.add_argument("--address", default="", metavar="HOST:PORT", help="of the Ray cluster, if not this machine's")
    slurm = "a parameter of submitit: time=MINUTES (has to be given), partition=gpu, cpus_per_task=8"
    command.add_argument("--slurm", action="append", type=_parameter, metavar="KEY=VALUE", help=slurm)


def _parameter(text: str) -> tuple[str, int | str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not like time=60")
    return key, int(value) if value.isdigit() else value


def _seeds(text: str) -> int | list[int]:
    """ "3" -> how many; "0,1,2" and "7," -> which."""
    try:
        seeds = [int(word) for word in text.removesuffix(",").split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor like 0,1,2") from None
    if "," not in text and seeds[0] < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of seeds; the seed {text} alone is written {text},")
    if len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f"{text} names a seed twice")
    return seeds if "," in text else seeds[0]


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number of minutes")
    return minutes


def _choices(text: str) -> tuple[str, list[str]]:
    """ "task.sampling_steps=10,20" -> the key and its values."""
    key, _, values = text.partition("=")
    if not key or not all(values.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is not like task.sampling_steps=10,20")
    return key, values.split(",")


def _space(text: str) -> tuple[str, str]:
    """ "schedule.peak=log:1e-4..1e-1" -> the key and its space."""
    key, _, space = text.partition("=")
    if not key or not space:
        raise argparse.ArgumentTypeError(f"{text!r} is not like schedule.peak=log:1e-4..1e-1")
    return key, space


def _together(text: str) -> str:
    if text not in ("auto", "no") and not (text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, no, or a number of trials")
    return text


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return int(text)


def _overrides(rest: list[str], command: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """["--config.section.key=value"] -> [("section.key", "value")]."""
    overrides = []
    for word in rest:
        if not word.startswith("--config.") or "=" not in word:
            known, hint = re.findall(r"--\w+", command.format_usage()), "a key is set by --config.section.key=value"
            meant = difflib.get_close_matches(word.partition("=")[0], known, n=1)
            if meant and not word.startswith("--config."):
                hint = f"did you mean {meant[0]!r}?"
            raise PageError(f"unknown argument {word!r}: {hint}")
        path, _, value = word.removeprefix("--config.").partition("=")
        overrides.append((path, value))
    return overrides


def _page(options: argparse.Namespace, overrides: list[tuple[str, str]]) -> ConfigDict | None:
    """The page named by --config, or else the one that --workdir was trained with; None where there is neither."""
    pages.check_sections(overrides)
    if getattr(options, "config", None):
        return pages.override(pages.load(options.config), overrides)
    if getattr(options, "workdir", None):
        return pages.override(_stored(pathlib.Path(options.workdir)), overrides)
    if overrides and "names" not in options:  # a command of several pages applies them itself
        raise PageError(f"--config.{overrides[0][0]}: this command reads no page")
    return None


def _stored(workdir: pathlib.Path) -> ConfigDict:
    path = workdir / pages.STORED
    try:
        return pages.from_canonical(json.loads(path.read_text()))
    except OSError as error:
        raise PageError(f"{workdir} is no work directory: cannot read {path} ({error.strerror})") from error
    except json.JSONDecodeError as error:
        raise PageError(f"{path} is not readable: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
