"""`fovea predict`: a trained network's answers to pictures."""

import argparse
import json
import pathlib
import sys

from experiments.commands.page import add_workdir
from experiments.errors import EXIT_BAD_INPUT, PageError


def arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    parser.add_argument("--step", type=int, metavar="N", help="checkpoint; default: the best one, or the newest")
    parser.add_argument("--out", metavar="DIR", help="folder for pictures of the answers; default: none are drawn")
    parser.add_argument("--json", metavar="FILE", help="write the answers as JSON; -: to the standard output")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a picture, or a folder of them")


def run(options: argparse.Namespace) -> int:
    """Prints a line for each picture; --out draws the task's views, --json writes its declared outputs.

    A picture that cannot be read costs a line; the others are answered, and the exit code is that of bad input.
    """
    from data.errors import DataError
    from experiments.evaluation import answers
    from experiments.runs.run import build
    from training.atomic import replace

    trained = build(options.page, options.workdir)
    task, info, records, failed, drawn = trained.task, trained.parts.info, [], 0, 0
    if not task.outputs:
        raise PageError(f"task {options.page.task.name!r} does not answer single images")
    files = answers.pictures(options.images)
    out = pathlib.Path(options.out) if options.out else None
    for answer, name in zip(answers.answers(trained, files, options.step), stems(files), strict=True):
        if isinstance(answer, DataError):
            print(f"fovea: {answer}", file=sys.stderr)
            failed += 1
            continue
        if options.json:
            records.append(answers.as_json(answer, task, info))
        if options.json != "-":
            print(f"{answer.file}: {answers.line(answer, task, info)}")
        if out:
            drawn += _draw(answers.drawn(answer, task, info), answer, task, out, name)
    text = json.dumps(records, indent=1) + "\n"
    if options.json == "-":
        sys.stdout.write(text)
    elif options.json:
        replace(pathlib.Path(options.json), text)
    if out and not drawn and failed < len(files):
        print(f"fovea: --out {out}: the task {options.page.task.name!r} draws no pictures", file=sys.stderr)
    return EXIT_BAD_INPUT if failed else 0


def _draw(views: dict, answer, task, out: pathlib.Path, name: str) -> int:
    """Writes the pictures of an answer and its masks, whose pixels are class indices; returns how many."""
    from PIL import Image

    pictures = {title.replace(" ", "_"): view for title, view in views.items() if not isinstance(view, str)}
    masks = [key for key, kind in task.outputs.items() if kind == "mask"]
    pictures |= {f"{key}_mask": answer.outputs[key].astype("uint8") for key in masks}
    for title, picture in pictures.items():
        out.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(out / f"{name}_{title}.png")
    return len(pictures)


def stems(files: list[pathlib.Path]) -> list[str]:
    """A name for the pictures of each file: its stem, with a number where another file has the name."""
    names: list[str] = []
    for file in files:
        name, count = file.stem, 1
        while name in names:
            count += 1
            name = f"{file.stem}_{count}"
        names.append(name)
    return names
