"""`fovea sample`: new images from a trained network."""

import argparse
import inspect
import pathlib

from PIL import Image

from experiments.errors import PageError, near
from experiments.runs.run import build
from training import samples
from training.evaluate import variables


def sample(options: argparse.Namespace) -> None:
    """Writes a grid of samples to --out; says of which weights."""
    run = build(options.page, options.workdir)
    if run.task.sample is None:
        raise PageError(f"task {options.page.task.name!r} makes no images")
    static, latent, columns = {}, None, samples.COLUMNS
    if options.steps is not None:
        if "steps" not in inspect.signature(run.task.sample).parameters:
            raise PageError(f"task {options.page.task.name!r} samples in a single step, so it takes no --steps")
        static["steps"] = options.steps
    if options.path:
        codes = [network.latent for network in run.parts.networks.values() if hasattr(network, "latent")]
        if not codes:
            raise PageError(f"task {options.page.task.name!r} has no latent code, so it takes no --path")
        if options.path == "plane":
            columns = max(round(options.num**0.5), 2)
            latent = samples.plane(columns, *codes)
        else:
            latent = samples.interpolations(-(-options.num // columns), columns, *codes, options.seed)
    number = options.num if latent is None else len(latent)
    label = None if options.label is None else _label(options.label, run.parts.info.classes)
    images = run.sample(number, label=label, latent=latent, seed=options.seed, step=options.step, **static)
    out = pathlib.Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    picture = run.gallery.picture(images) if latent is None else samples.grid(images, columns)
    Image.fromarray(picture).save(out)
    state, step, _ = run.restore(options.step)
    print(f"{number} samples of step {step}, {variables(state)[2]} weights, seed {options.seed}: {out}")


def _label(text: str, classes: tuple[str, ...]) -> int:
    """A class by its name or number. Raises PageError with the near miss."""
    if text in classes:
        return classes.index(text)
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    raise PageError(f"there is no class {text!r}{near(text, classes)}")
