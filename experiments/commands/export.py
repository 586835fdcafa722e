"""`fovea export`: a trained network for other libraries, or as a program."""

import argparse
import pathlib

from experiments.commands.page import add_workdir
from experiments.errors import PageError, near

KINDS = {"torch": "a .pth", "safetensors": "a .safetensors", "stablehlo": "a folder with a program and its run.py"}
SUFFIXES = {"torch": ".pth", "safetensors": ".safetensors", "stablehlo": ""}


def arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    what = "; ".join(f"{kind}: {text}" for kind, text in KINDS.items())
    parser.add_argument("--as", dest="kind", required=True, metavar="KIND", help=what)
    parser.add_argument("--out", metavar="PATH", help="what to write; default: exported in the work directory")
    parser.add_argument("--naming", default="", metavar="NAME", help="whose names: a key of the network's PORTS")
    parser.add_argument("--player", default="", metavar="NAME", help="of a run with several networks: which one")
    parser.add_argument("--step", type=int, metavar="N", help="checkpoint; default: the best one, or the newest")


def run(options: argparse.Namespace) -> None:
    """Writes the network of the best checkpoint, the moving average where there is one, and prints where."""
    if options.kind not in KINDS:
        raise PageError(f"--as {options.kind}{near(options.kind, KINDS)}")
    from experiments.evaluation.exported import write_program, write_tensors
    from experiments.pages.stored import read_json
    from experiments.runs.imported import WEIGHTS
    from experiments.runs.run import build
    from training.evaluate import variables

    workdir = pathlib.Path(options.workdir)
    out = pathlib.Path(options.out or workdir / f"exported{SUFFIXES[options.kind]}")
    trained = build(options.page, workdir)
    state, step, _ = trained.restore(options.step)
    params, stats, which = variables(state)
    try:
        if options.kind == "stablehlo":
            write_program(trained.parts, params, stats, out)
            print(f"{out}: the {which} weights of step {step}; python {out / 'run.py'} IMAGE answers a picture")
            return
        names = trained.task.names
        if options.player not in names and (options.player or len(names) > 1):
            raise PageError(f"--player {options.player}{near(options.player, names)}")
        player = options.player or names[0]
        naming = options.naming
        if not naming and (workdir / WEIGHTS).is_file():  # as it was imported
            naming = read_json(workdir / WEIGHTS)["naming"]
        own = {"params": params[player], **stats[player]}
        naming = write_tensors(options.kind, trained.parts.networks[player], own, naming, out)
        print(f"{out}: the {which} weights of step {step} in the naming {naming!r}")
    except OSError as error:
        raise PageError(f"--out {out}: {error.strerror}") from error
