"""`fovea sample`: what a trained network makes."""

import argparse
import pathlib
import zipfile

import numpy as np

from experiments.commands.page import add_workdir
from experiments.commands.processes import add_processes, join
from experiments.commands.values import output, pair, positive
from experiments.errors import PageError, near

PATHS = ("plane", "interpolation")  # of latent codes


def arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    parser.add_argument("--num", type=positive, default=80, metavar="N", help="number of samples")
    given = f"what is asked for: label=3 (or a class's name), latent={' or '.join(PATHS)}, image=FILE, NAME=FILE.npy"
    parser.add_argument("--given", action="append", type=pair, default=[], metavar="NAME=VALUE", help=given)
    options = "an option of the task, such as steps=20"
    parser.add_argument("--set", action="append", type=pair, default=[], metavar="KEY=VALUE", help=options)
    for flag, dest, name in (("--class", "given", "label"), ("--path", "given", "latent"), ("--steps", "set", "steps")):
        earlier = dict(
            type=lambda text, name=name: (name, text), help=argparse.SUPPRESS
        )  # the flags of former versions
        parser.add_argument(flag, dest=dest, action="append", **earlier)
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--step", type=int, metavar="N", help="checkpoint; default: the best one, or the newest")
    parser.add_argument(
        "--out", type=output, default="samples.png", metavar="FILE", help="a picture, or an .npz of arrays"
    )
    add_processes(parser)


def run(options: argparse.Namespace) -> None:
    """Writes samples to --out and prints which weights made them."""
    from experiments.runs.run import build
    from training import samples
    from training.evaluate import variables
    from training.pictures import save
    from training.task import check_asked

    main = join(options)
    trained = build(options.page, options.workdir)
    makes, number, columns = trained.task.makes, options.num, samples.COLUMNS
    if makes is None:
        raise PageError(f"task {options.page.task.name!r} makes nothing")
    if makes.count is not None:
        number = makes.count
    check_asked(makes, dict(options.given), dict(options.set))
    given = {}
    for name, text in options.given:
        if makes.given[name].kind == "array" and text in PATHS:
            (width,) = makes.given[name].shape
            columns = max(round(options.num**0.5), 2) if text == "plane" else columns
            rows = -(-options.num // columns)
            path = samples.plane(columns, width) if text == "plane" else None
            given[name] = samples.interpolations(rows, columns, width, options.seed) if path is None else path
            number = len(given[name])
        else:
            given[name] = asked(text, makes.given[name].kind, trained.parts, number)
    chosen = {name: option(name, text, makes.options[name]) for name, text in options.set}
    made = trained.make(number, given=given, seed=options.seed, step=options.step, **chosen)
    if not main:
        return
    out = pathlib.Path(options.out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if makes.kind in ("image", "array") and out.suffix != ".npz":
            save(trained.snapshots.picture(made[makes.kind], columns), out)
        else:
            out = out.with_suffix(".npz")
            np.savez(out, **made)
    except (OSError, ValueError, KeyError) as error:  # an unknown kind of file, a folder that cannot be written
        raise PageError(f"--out {out}: {error}") from error
    state, step = trained.placed(options.step)
    print(f"{number} samples of step {step}, {variables(state)[2]} weights, seed {options.seed}: {out}")


def asked(text: str, kind: str, parts, number: int) -> np.ndarray:
    """What --given NAME=TEXT means, [N or 1, ...]: a class by its name or number, a picture, the arrays of a file.

    A mask is a picture, which marks where it is not black, or an array, [H, W] or one for each sample.

    Raises PageError for an unknown class, or a file that does not hold one row for each sample.
    """
    classes = parts.info.classes
    if kind == "image" and not text.endswith(".npy"):
        from experiments.evaluation.answers import preparation

        return preparation(parts).read(pathlib.Path(text))[0][None]
    if kind == "mask" and not text.endswith(".npy"):
        from data.decode import load

        return (np.asarray(load(text).image.convert("L")) > 0).astype(np.int32)[None]
    if kind == "label":
        if text in classes:
            return np.full(number, classes.index(text), np.int32)
        if text.isdecimal() and int(text) < len(classes):
            return np.full(number, int(text), np.int32)
        raise PageError(f"there is no class {text!r}{near(text, classes)}")
    try:
        rows = np.load(text, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise PageError(f"cannot read {text!r} as an .npy file of arrays: {error}") from error
    if not isinstance(rows, np.ndarray):
        rows.close()
        raise PageError(f"cannot read {text!r} as an .npy file of arrays: it is an .npz")
    if not rows.ndim:
        raise PageError(f"{text} is one number, not rows for {number} samples (--num)")
    rows = rows[None] if kind == "mask" and rows.ndim == 2 else rows  # one for all samples
    if len(rows) not in (1, number):
        raise PageError(f"{text} has {len(rows)} rows for {number} samples (--num)")
    return rows


def option(name: str, text: str, default):
    """The value of --set NAME=TEXT, of the type of the option's default. Raises PageError."""
    kind = type(default)
    try:
        return kind(text) if kind is not bool else {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError):
        raise PageError(f"--set {name}={text}: {name} is like {default!r}") from None
