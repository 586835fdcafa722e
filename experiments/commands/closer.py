"""What `fovea eval` computes from the answers to single examples: ensembles, significance, calibration, attacks."""

import argparse
import json
import pathlib

from experiments.commands.values import positive
from experiments.errors import PageError

FLAGS = ("ensemble", "against", "calibrate", "ten_crop", "attack")


def add_closer(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    ensemble = "the mean of the probabilities of this run and of those in the folders"
    group.add_argument("--ensemble", nargs="+", metavar="DIR", help=ensemble)
    group.add_argument("--against", metavar="DIR", help="McNemar's test against another run on the same examples")
    calibrate = "the calibration error, and the temperature that the validation set gives"
    group.add_argument("--calibrate", action="store_true", help=calibrate)
    ten = "the mean over the corners, the centre and their mirror images, of N pixels a side"
    group.add_argument("--ten-crop", type=positive, metavar="N", help=ten)
    group.add_argument("--attack", metavar="NAME", help="the accuracy under fgsm or pgd, for each of --epsilons")
    epsilons = "how far a value may move, in 1/255 (default: 0,1,2,4,8)"
    parser.add_argument("--epsilons", type=numbers, default=[0, 1, 2, 4, 8], metavar="E,E,…", help=epsilons)


def numbers(text: str) -> list[float]:
    """ "0,0.5,8" -> numbers from 0 on."""
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        found = [-1.0]
    if not all(0 <= x < 256 for x in found):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 0,1,2,4,8")
    return found


def asked(options: argparse.Namespace) -> bool:
    """Whether one of these flags is given. Raises PageError beside --over."""
    found = [flag for flag in FLAGS if vars(options)[flag]]
    if found and options.over:
        raise PageError(f"--{found[0].replace('_', '-')} measures one page: not with --over")
    return bool(found)


def run(options: argparse.Namespace) -> None:
    """Prints a table and adds it to `closer.json` in the work directory; in the main process alone."""
    from rich.table import Table

    from experiments.runs.run import build
    from experiments.terminal import show
    from training import parallel
    from training.atomic import replace

    own = build(options.page, options.workdir)
    (flag,) = (flag for flag in FLAGS if vars(options)[flag])
    measure = {
        "ensemble": _ensemble,
        "against": _against,
        "calibrate": _calibrate,
        "ten_crop": _ten_crop,
        "attack": _attack,
    }[flag]
    columns, rows = measure(own, options)
    if not parallel.is_main():
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*(f"{x:.4f}" if isinstance(x, float) else str(x) for x in row))
    show(table)
    path = pathlib.Path(options.workdir) / "closer.json"
    kept = json.loads(path.read_text()) if path.exists() else []
    record = {"measure": flag, "split": options.split, "columns": columns, "rows": rows}
    replace(path, json.dumps([*kept, record], indent=1))


def _others(folders):
    from experiments.pages.stored import read_page
    from experiments.runs.run import build

    return [build(read_page(folder), folder) for folder in folders]


def _ensemble(own, options):
    import numpy as np

    from experiments.evaluation.calibration import calibration_error, cross_entropy
    from experiments.evaluation.scores import probabilities, together

    runs = [own, *_others(options.ensemble)]
    found = together(runs, options.split, options.step)
    each = [probabilities(one.logits) for one in found]
    labels = found[0].labels
    rows = [
        [name, float((p.argmax(-1) != labels).mean()), cross_entropy(p, labels), calibration_error(p, labels)]
        for name, p in zip([*(str(run.workdir) for run in runs), "together"], [*each, np.mean(each, 0)], strict=True)
    ]
    return ["run", "error", "cross_entropy", "calibration_error"], rows


def _against(own, options):
    from experiments.evaluation.scores import together
    from experiments.evaluation.significance import bootstrap, mcnemar

    one, other = (found.right for found in together([own, *_others([options.against])], options.split, options.step))
    only_one, only_other, p = mcnemar(one, other)
    low, high = bootstrap(one, other)
    return ["quantity", "value"], [
        ["examples", len(one)],
        [f"accuracy of {own.workdir}", float(one.mean())],
        [f"accuracy of {options.against}", float(other.mean())],
        ["right in the first alone", only_one],
        ["right in the second alone", only_other],
        ["p (McNemar, exact)", p],
        ["difference, 95 % (bootstrap)", f"{low:.4f} to {high:.4f}"],
    ]


def _calibrate(own, options):
    from experiments.evaluation import calibration
    from experiments.evaluation.scores import probabilities, scores
    from experiments.terminal import drawing
    from training import parallel
    from training.pictures import save

    if not own.parts.has("validation"):
        raise PageError("--calibrate fits the temperature on the validation set: set data.validation")
    held, found = (scores(own, name, options.step) for name in ("validation", options.split))
    t = calibration.temperature(held.logits, held.labels)
    rows = [["temperature", t, "", ""]]
    for name, logits in (("as trained", found.logits), ("at the temperature", found.logits / t)):
        p = probabilities(logits)
        error = calibration.calibration_error(p, found.labels)
        rows.append([name, "", error, calibration.cross_entropy(p, found.labels)])
    if parallel.is_main():
        file = pathlib.Path(options.workdir) / "reliability.png"
        with drawing(file.stem):
            save(calibration.diagram(calibration.reliability(probabilities(found.logits), found.labels)), file)
    return ["", "temperature", "calibration_error", "cross_entropy"], rows


def _ten_crop(own, options):
    import numpy as np

    from experiments.evaluation import crops
    from experiments.evaluation.scores import batches, probabilities, scores

    side = options.ten_crop
    if side > min(own.parts.info.shape[:2]):
        raise PageError(f"--ten-crop {side}: the images have {'×'.join(map(str, own.parts.info.shape[:2]))} pixels")
    whole = scores(own, options.split, options.step)
    _check_side(own, side)
    state, _ = own.placed(options.step)
    single, mean, labels = [], [], []
    for batch in batches(own, options.split):
        each = [
            probabilities(own.snapshots.predict(state, {**batch, "image": crop})["logits"])
            for crop in crops.ten(batch["image"], side)
        ]
        single.append(each[4].argmax(-1))
        mean.append(np.mean(each, 0).argmax(-1))
        labels.append(batch["label"])
    single, mean, labels = (np.concatenate(x) for x in (single, mean, labels))
    known = labels >= 0
    error = lambda answers: float((answers != labels)[known].mean())
    rows = [["whole", float(1 - whole.right.mean())], ["centre", error(single)], ["ten crops", error(mean)]]
    return ["answer by", "error"], rows


def _check_side(own, side):
    """Raises PageError unless the network takes images of this side; nothing is computed."""
    import jax
    import numpy as np

    state, network = own.parts.abstract_state, own.parts.networks["model"]
    variables = {"params": state.params["model"], **state.stats["model"]}
    image = jax.ShapeDtypeStruct((1, side, side, own.parts.info.shape[-1]), np.float32)
    try:
        jax.eval_shape(lambda v, x: network.apply(v, x, train=False), variables, image)
    except Exception as error:  # of the network: a dense layer of another width, sides that it cannot halve
        raise PageError(f"--ten-crop {side}: the network does not take images of {side} pixels") from error


def _attack(own, options):
    from experiments.evaluation.robustness import accuracies

    found = accuracies(own, options.split, options.attack, options.epsilons, options.step)
    return ["epsilon / 255", "accuracy"], [[f"{e:g}", x] for e, x in zip(options.epsilons, found, strict=True)]
