"""`fovea predict`: a trained network's answers to pictures."""

import argparse
import contextlib
import itertools
import json
import os
import pathlib
import sys
import textwrap
from collections.abc import Callable, Iterator

from experiments.commands.page import add_workdir
from experiments.commands.values import output
from experiments.errors import EXIT_BAD_INPUT, PageError

LONGEST = 255  # bytes of a file's name, on most file systems


def arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    parser.add_argument("--step", type=int, metavar="N", help="checkpoint; default: the best one, or the newest")
    parser.add_argument("--out", metavar="DIR", help="folder for pictures of the answers; default: none are drawn")
    parser.add_argument("--json", type=output, metavar="FILE", help="write the answers as JSON; -: to standard output")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a picture, or a folder of them")


def run(options: argparse.Namespace) -> int:
    """Prints a line for each picture; --out draws the task's views, --json writes its declared outputs.

    A picture that cannot be read, or whose answer cannot be drawn, costs a line; the others are answered, and the exit
    code is that of bad input.
    """
    from data.errors import DataError, one_line
    from experiments.evaluation import answers
    from experiments.runs.run import build

    trained = build(options.page, options.workdir)
    task, info, failed, drawn = trained.task, trained.parts.info, 0, 0
    if not task.outputs:
        raise PageError(f"task {options.page.task.name!r} does not answer single images")
    files = answers.pictures(options.images)
    out = pathlib.Path(options.out) if options.out else None
    taken = {_key(file) for file in files}
    with json_list(options.json) as add:
        for answer in answers.answers(trained, files, options.step):
            if isinstance(answer, DataError):
                print(f"fovea: {one_line(str(answer))}", file=sys.stderr)
                failed += 1
                continue
            if options.json:
                add(answers.as_json(answer, task, info))
            if options.json != "-":
                print(one_line(f"{answer.file}: {answers.line(answer, task, info)}"))
            if out:
                try:
                    drawn += draw(answers.drawn(answer, task, info), answer, task, info, out, taken)
                except OSError as error:
                    print(f"fovea: cannot draw the answer to {answer.file}: {error}", file=sys.stderr)
                    failed += 1
    if out and not drawn and failed < len(files):
        print(f"fovea: --out {out}: the task {options.page.task.name!r} draws no pictures", file=sys.stderr)
    return EXIT_BAD_INPUT if failed else 0


@contextlib.contextmanager
def json_list(where: str | None) -> Iterator[Callable[[dict], None]]:
    """A function that adds a record to a JSON list; each is written as it comes, and however the block ends, so is "]".

    where: a file, which appears when the block ends; "-": the standard output; None: nothing is written.
    """
    if where is None:
        yield lambda record: None
        return
    path, partial = pathlib.Path(where), pathlib.Path(f"{where}.partial")
    try:
        file = sys.stdout if where == "-" else partial.open("w")
    except OSError as error:
        raise PageError(f"--json {where}: {error.strerror}") from error
    before = "["

    def add(record: dict) -> None:
        nonlocal before
        file.write(f"{before}\n{textwrap.indent(json.dumps(record, indent=1), ' ')}")
        before = ","

    try:
        yield add
    finally:
        file.write("[]\n" if before == "[" else "\n]\n")
        if file is not sys.stdout:
            file.close()
            partial.replace(path)


def draw(views: dict, answer, task, info, out: pathlib.Path, taken: set[str]) -> int:
    """Writes the pictures of an answer and its masks, whose pixels are class indices; returns how many.

    taken: what no picture may overwrite: the inputs, and what was written before.
    """
    from PIL import Image

    pictures = {title.replace(" ", "_"): view for title, view in views.items() if not isinstance(view, str)}
    kind = "uint8" if len(info.classes) <= 256 else "uint16"
    masks = [key for key, what in task.outputs.items() if what == "mask"]
    pictures |= {f"{key}_mask": answer.outputs[key].astype(kind) for key in masks}
    paths = free_paths(out, answer.file.stem, list(pictures), taken)
    for path, picture in zip(paths, pictures.values(), strict=True):
        out.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return len(pictures)


def free_paths(out: pathlib.Path, stem: str, titles: list[str], taken: set[str]) -> list[pathlib.Path]:
    """out/stem_title.png of each title; where one is taken, out/stem_2_title.png, and so on. Adds them to `taken`.

    A stem is shortened where a name would be longer than LONGEST.
    """
    room = LONGEST - max((len(os.fsencode(f"_{title}.png")) for title in titles), default=0)
    for count in itertools.count(1):
        number = f"_{count}" if count > 1 else ""
        name = _shortened(stem, room - len(number)) + number
        paths = [out / f"{name}_{title}.png" for title in titles]
        if not taken & set(map(_key, paths)):
            taken |= set(map(_key, paths))
            return paths


def _shortened(text: str, size: int) -> str:
    """The longest beginning of `text` that has at most `size` bytes as a file's name."""
    while len(os.fsencode(text)) > size:
        text = text[:-1]
    return text


def _key(path: pathlib.Path) -> str:
    """Equal for names of one file, also where the file system does not tell upper from lower case."""
    return str(path.resolve()).casefold()
