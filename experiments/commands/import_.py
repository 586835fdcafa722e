"""`fovea import`: a work directory of weights that were trained elsewhere."""

import argparse
import pathlib
import sys

from ml_collections import ConfigDict

from experiments.commands.page import of_config
from experiments.errors import EXIT_BAD_INPUT, PageError
from experiments.pages.overrides import check_sections


def arguments(parser: argparse.ArgumentParser) -> None:
    of = parser.add_mutually_exclusive_group(required=True)
    of.add_argument("--model", metavar="NAME", help="a classifier of `fovea list models`")
    of.add_argument("--config", metavar="PAGE", help="a page with the network: its name, or its file")
    parser.add_argument("--weights", required=True, metavar="FILE", help=".safetensors, .npz, .pth or Keras's .h5")
    parser.add_argument("--workdir", required=True, metavar="DIR", help="the new work directory")
    parser.add_argument("--classes", metavar="FILE", help="the names of the classes, a line each; default: numbers")
    parser.add_argument("--player", default="", metavar="NAME", help="of a page with several networks: which one")
    naming = "the library of the names, a key of the network's PORTS; default: as they tell"
    parser.add_argument("--naming", default="", metavar="NAME", help=naming)
    partial = "leave out names without a counterpart: weights that the file lacks stay random"
    parser.add_argument("--partial", action="store_true", help=partial)
    parser.epilog = "Any key of the page is set by --config.section.key=value."
    parser.set_defaults(read_page=read_page)


def read_page(options: argparse.Namespace) -> ConfigDict | None:
    """The page of --config; that of --model follows from its weights."""
    check_sections(options.overrides)
    return of_config(options) if options.config else None


def run(options: argparse.Namespace) -> int:
    """Prints the naming and what was taken; a line on stderr for each name that does not fit, and exit code 2."""
    from experiments.runs.imported import classifier_page, import_weights
    from models.errors import ModelError

    page = options.page or classifier_page(options.model, options.overrides)
    classes = read_classes(options.classes) if options.classes else ()
    try:
        found = import_weights(
            page,
            options.weights,
            options.workdir,
            given=[key for key, _ in options.overrides],
            player=options.player,
            classes=classes,
            partial=options.partial,
            naming=options.naming,
        )
    except ModelError as error:
        for line in str(error).splitlines():
            print(f"fovea: {line}", file=sys.stderr)
        return EXIT_BAD_INPUT
    match = found.match
    if options.partial:
        for names, what in ((match.missing, "stays random: the file has no"), (match.left, "left out:")):
            for name in sorted(names):
                print(f"fovea: {what} {name}", file=sys.stderr)
    info = found.run.parts.info
    height, width, channels = info.shape
    of = lambda values: "(" + ", ".join(f"{x:.4g}" for x in values) + ")"
    print(f"{options.workdir}: {found.count:,} weights in the naming {match.naming!r}, {len(info.classes)} classes")
    print(f"images: {height}×{width}×{channels}, mean {of(info.mean)}, std {of(info.std)}")
    if found.prepared is None:
        print("fovea: how the images of these weights were prepared is not known: see data.mean", file=sys.stderr)
    elif channels == 3 and page.data.scale == "standardise" and not near(info, found.prepared):
        own = f"mean {of(found.prepared.mean)}, std {of(found.prepared.std)}"
        print(f"fovea: the weights expect images of {own}", file=sys.stderr)
    elif found.prepared.unless and near(info, found.prepared):
        print(f"fovea: {found.prepared.unless}: see data.mean", file=sys.stderr)
    return 0


def near(info, prepared) -> bool:
    """Whether images are standardised as the weights expect."""
    ours, theirs = (*info.mean, *info.std), (*prepared.mean, *prepared.std)  # of grey images and of colours differ
    return len(ours) == len(theirs) and all(abs(a - b) < 1e-3 for a, b in zip(ours, theirs, strict=True))


def read_classes(file: str) -> tuple[str, ...]:
    """The lines of a file that are not empty. Raises PageError where it cannot be read."""
    try:
        names = tuple(pathlib.Path(file).expanduser().read_text().split("\n"))
    except (OSError, ValueError) as error:
        raise PageError(f"--classes {file}: {error}") from error
    return tuple(name.strip() for name in names if name.strip())
