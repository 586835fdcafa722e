"""`fovea sample`: new images from a trained network."""

import argparse
import inspect
import pathlib

from PIL import Image

from experiments.commands.page import add_workdir
from experiments.commands.values import positive
from experiments.errors import PageError, near


def arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    parser.add_argument("--num", type=positive, default=80, metavar="N", help="number of images")
    parser.add_argument("--class", dest="label", metavar="C", help="one class for all, by name or number")
    parser.add_argument("--steps", type=positive, metavar="S", help="steps of a diffusion sampler")
    parser.add_argument("--path", choices=("plane", "interpolation"), help="codes on a path in place of random ones")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--step", type=int, metavar="N", help="checkpoint; default: the best one, or the newest")
    parser.add_argument("--out", default="samples.png", metavar="FILE")


def run(options: argparse.Namespace) -> None:
    """Writes a grid of samples to --out and prints which weights made them."""
    from experiments.runs.run import build
    from training import samples
    from training.evaluate import variables

    trained = build(options.page, options.workdir)
    if trained.task.sample is None:
        raise PageError(f"task {options.page.task.name!r} makes no images")
    static, latent, columns = {}, None, samples.COLUMNS
    if options.steps is not None:
        if "steps" not in inspect.signature(trained.task.sample).parameters:
            raise PageError(f"task {options.page.task.name!r} samples in a single step, so it takes no --steps")
        static["steps"] = options.steps
    if options.path:
        codes = [network.latent for network in trained.parts.networks.values() if hasattr(network, "latent")]
        if not codes:
            raise PageError(f"task {options.page.task.name!r} has no latent code, so it takes no --path")
        if options.path == "plane":
            columns = max(round(options.num**0.5), 2)
            latent = samples.plane(columns, *codes)
        else:
            latent = samples.interpolations(-(-options.num // columns), columns, *codes, options.seed)
    number = options.num if latent is None else len(latent)
    label = None if options.label is None else _label(options.label, trained.parts.info.classes)
    images = trained.sample(number, label=label, latent=latent, seed=options.seed, step=options.step, **static)
    out = pathlib.Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    picture = trained.gallery.picture(images) if latent is None else samples.grid(images, columns)
    Image.fromarray(picture).save(out)
    state, step, _ = trained.restore(options.step)
    print(f"{number} samples of step {step}, {variables(state)[2]} weights, seed {options.seed}: {out}")


def _label(text: str, classes: tuple[str, ...]) -> int:
    """A class by its name or number. Raises PageError with the near miss."""
    if text in classes:
        return classes.index(text)
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    raise PageError(f"there is no class {text!r}{near(text, classes)}")
