"""`fovea features`: the embeddings of pictures, and what they are worth."""

import argparse
import sys

from experiments.commands.page import add_workdir
from experiments.commands.values import output, positive
from experiments.errors import EXIT_BAD_INPUT, PageError


def arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    parser.add_argument("--step", type=int, metavar="N", help="checkpoint; default: the best one, or the newest")
    parser.add_argument("--split", metavar="S", help="of the run's data, in place of pictures: train, test[:50%%]")
    parser.add_argument("--out", type=output, default="features.npz", metavar="FILE", help="an .npz")
    probe = "features with labels, on which a linear probe and the nearest neighbours learn; prints their accuracy"
    parser.add_argument("--probe", metavar="FILE", help=probe)
    parser.add_argument("--k", type=positive, default=20, metavar="N", help="neighbours of --probe (default: 20)")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="a picture, or a folder, whose folders are classes")


def run(options: argparse.Namespace) -> int:
    """Writes features [N, D], and label [N] with classes [K] where there are any, name [N] of pictures."""
    if bool(options.images) == bool(options.split):
        raise PageError("name pictures, or a split of the run's data by --split")
    import pathlib

    import numpy as np

    from experiments.evaluation.embeddings import Embedder
    from experiments.runs.run import build

    known = read(options.probe) if options.probe else None
    trained = build(options.page, options.workdir)
    embed = Embedder(trained, options.step)
    found, failed = (_of_split if options.split else _of_pictures)(trained, embed, options)
    if known and "label" not in found:
        raise PageError("--probe: these pictures have no classes: put those of each class in a folder")
    out = pathlib.Path(options.out).with_suffix(".npz")  # NumPy adds it to a name without one
    try:
        np.savez(out, **found)
    except OSError as error:
        raise PageError(f"--out {out}: {error.strerror}") from error
    count, width = found["features"].shape
    print(f"{out}: {count} × {width}")
    if known:
        for name, accuracy in probed(known, found, options.k).items():
            print(f"{name}: {100 * accuracy:.2f} %")
    return EXIT_BAD_INPUT if failed else 0


def _of_split(trained, embed, options):
    import numpy as np

    from experiments.evaluation.scores import batches

    parts = [(embed(batch["image"]), batch.get("label")) for batch in batches(trained, options.split)]
    found = {"features": np.concatenate([features for features, _ in parts])}
    if parts[0][1] is not None:
        found |= {"label": np.concatenate([label for _, label in parts])}
        found |= {"classes": np.array(trained.parts.info.classes)}
    return found, 0


def _of_pictures(trained, embed, options):
    import numpy as np

    from data.errors import DataError, one_line
    from experiments.evaluation import answers

    prepared, kept, features, failed = answers.preparation(trained.parts), [], [], 0
    files, size = answers.pictures(options.images), trained.page.train.evaluate_batch_size
    for start in range(0, len(files), size):
        images = []
        for file in files[start : start + size]:
            try:
                images.append(prepared.read(file)[0])
                kept.append(file)
            except DataError as error:
                print(f"fovea: {one_line(str(error))}", file=sys.stderr)
                failed += 1
        if images:
            features.append(embed(np.stack(images)))
    if not kept:
        raise PageError("none of the pictures can be read")
    found = {"features": np.concatenate(features), "name": np.array([str(file) for file in kept])}
    folders = [file.parent.name for file in kept]
    classes = sorted(set(folders))
    if len(classes) > 1:
        found |= {"label": np.array([classes.index(name) for name in folders]), "classes": np.array(classes)}
    return found, failed


def read(file: str):
    """Features with labels. Raises PageError for a file that has none."""
    import pathlib

    import numpy as np

    from data.npz import read_arrays

    try:
        found = read_arrays(pathlib.Path(file))
    except ValueError as error:
        raise PageError(f"--probe {file}: {error}") from error
    if not {"features", "label", "classes"} <= found.keys():
        raise PageError(f"--probe {file}: it has no features with labels: `fovea features` writes them")
    features, label, classes = found["features"], found["label"], found["classes"]
    numbers = features.dtype.kind in "fiu" and label.dtype.kind in "iu"
    if not numbers or features.ndim != 2 or label.shape != features.shape[:1] or classes.ndim != 1:
        raise PageError(
            f"--probe {file}: features [N, D], label [N] and classes [K] are expected, not"
            f" {list(features.shape)} {features.dtype}, {list(label.shape)} {label.dtype}, {list(classes.shape)}"
        )
    if not np.isfinite(features).all():
        raise PageError(f"--probe {file}: some features are not finite")
    if label.max(initial=-1) >= len(classes):
        raise PageError(f"--probe {file}: it has the label {label.max()}, and {len(classes)} classes")
    return found


def probed(train, test, k: int) -> dict[str, float]:
    """The accuracy of each probe.

    Raises PageError where widths or classes differ, or the features do not have what a probe needs.
    """
    import numpy as np

    from experiments.evaluation.probe import linear_probe, nearest

    if train["features"].shape[1] != test["features"].shape[1]:
        raise PageError(
            f"--probe: features of width {train['features'].shape[1]}, and here of {test['features'].shape[1]}"
        )
    if list(train["classes"]) != list(test["classes"]):
        raise PageError("--probe: its features have other classes")
    labelled = lambda x: (x["features"][x["label"] >= 0], x["label"][x["label"] >= 0])
    (features, labels), (others, truth) = labelled(train), labelled(test)
    if len(np.unique(labels)) < 2:
        raise PageError("--probe: its features are of fewer than two classes")
    if not len(truth):
        raise PageError("--probe: none of the examples here has a label")
    if not np.isfinite(others).all():
        raise PageError("--probe: some features here are not finite")
    answers = {
        "linear probe": linear_probe(features, labels, others),
        f"{k} nearest": nearest(features, labels, others, k),
    }
    return {name: float((found == truth).mean()) for name, found in answers.items()}
