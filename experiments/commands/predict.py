"""`fovea predict`: a trained network's answers to pictures."""

import argparse
import json
import pathlib
import sys

from experiments.commands.page import add_workdir
from experiments.errors import PageError


def arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    parser.add_argument("--step", type=int, metavar="N", help="checkpoint; default: the best one, or the newest")
    parser.add_argument("--out", metavar="DIR", help="folder for pictures of the answers; default: none are drawn")
    parser.add_argument("--json", metavar="FILE", help="write the answers as JSON; -: to the standard output")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a picture, or a folder of them")


def run(options: argparse.Namespace) -> None:
    """Prints a line for each picture; --out draws the task's views, --json writes its declared outputs."""
    from PIL import Image

    from experiments.evaluation import answers
    from experiments.runs.run import build
    from training.atomic import replace

    trained = build(options.page, options.workdir)
    task, info, records = trained.task, trained.parts.info, []
    if not task.outputs:
        raise PageError(f"task {options.page.task.name!r} does not answer single images")
    files = answers.pictures(options.images)
    out = pathlib.Path(options.out) if options.out else None
    for answer, name in zip(answers.answers(trained, files, options.step), stems(files), strict=True):
        if options.json:
            records.append(answers.as_json(answer, task, info))
        if options.json != "-":
            print(f"{answer.file}: {answers.line(answer, task, info)}")
        for title, picture in answers.drawn(answer, task, info).items() if out else ():
            if not isinstance(picture, str):
                out.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(out / f"{name}_{title.replace(' ', '_')}.png")
        for key, kind in task.outputs.items() if out else ():
            if kind == "mask":
                out.mkdir(parents=True, exist_ok=True)
                Image.fromarray(answer.outputs[key].astype("uint8")).save(out / f"{name}_{key}_mask.png")
    text = json.dumps(records, indent=1)
    if options.json == "-":
        sys.stdout.write(text + "\n")
    elif options.json:
        replace(pathlib.Path(options.json), text + "\n")


def stems(files: list[pathlib.Path]) -> list[str]:
    """A name for the pictures of each file: its stem, with a number where another file has the same."""
    counts: dict[str, int] = {}
    names = []
    for file in files:
        counts[file.stem] = counts.get(file.stem, 0) + 1
        names.append(file.stem if counts[file.stem] == 1 else f"{file.stem}_{counts[file.stem]}")
    return names
