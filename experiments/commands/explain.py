"""`fovea explain`: why a classifier gives its answer, as pictures."""

import argparse
import pathlib
import sys

from experiments.commands.page import add_workdir
from experiments.commands.values import positive
from experiments.errors import EXIT_BAD_INPUT, PageError, near

METHODS = (
    "saliency",
    "guided",
    "deconvnet",
    "integrated_gradients",
    "smoothgrad",
    "gradcam",
    "occlusion",
    "filters",
    "activations",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    parser.add_argument("--method", required=True, metavar="NAME", help=", ".join(METHODS))
    parser.add_argument("--class", dest="label", metavar="NAME", help="a class or its number; default: the answer")
    layer = "the path of a module, for gradcam and activations; default: the last with maps"
    parser.add_argument("--layer", default="", metavar="PATH", help=layer)
    parser.add_argument("--window", type=positive, metavar="N", help="pixels of the occluding square; default: 1/6")
    parser.add_argument("--step", type=int, metavar="N", help="checkpoint; default: the best one, or the newest")
    parser.add_argument("--out", default="explained", metavar="DIR", help="folder for the pictures")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="a picture, or a folder of them; none for filters")


def run(options: argparse.Namespace) -> int:
    """Writes a picture for each image and prints its name; a line on stderr for each that cannot be read."""
    if options.method not in METHODS:
        raise PageError(f"--method {options.method}{near(options.method, METHODS)}")
    if not options.images and options.method != "filters":
        raise PageError(f"--method {options.method} explains pictures: name them")
    from PIL import Image

    from data.errors import DataError, one_line
    from experiments.commands.predict import free_paths
    from experiments.evaluation import answers
    from experiments.evaluation.explanations import Explainer
    from experiments.runs.run import build

    if options.page.task.name != "classification":
        raise PageError(f"explain looks into classifiers, and the task is {options.page.task.name!r}")
    explainer = Explainer(build(options.page, options.workdir), options.method, options)
    out, failed = pathlib.Path(options.out), 0
    files = answers.pictures(options.images)
    taken = {str(file.resolve()).casefold() for file in files}

    def save(stem, picture):
        (path,) = free_paths(out, stem, [options.method], taken)
        try:
            out.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
        except OSError as error:
            raise PageError(f"--out {out}: {error.strerror or error}") from error
        return path

    if options.method == "filters":
        print(save("network", explainer.filters()))
        return 0
    for file in files:
        try:
            picture, line = explainer.explain(file)
        except DataError as error:
            print(f"fovea: {one_line(str(error))}", file=sys.stderr)
            failed += 1
            continue
        print(one_line(f"{file}: {line}: {save(file.stem, picture)}"))
    return EXIT_BAD_INPUT if failed else 0
