"""The command `fovea`. Each command is a module of `experiments.commands` with `arguments(parser)` and `run(options)`.

Only the module of the command given is imported, and `run` imports what it needs: help, listing and bad arguments
answer without jax.
"""

import argparse
import errno
import importlib
import io
import keyword
import os
import pathlib
import re
import sys
import time
from collections.abc import Sequence

from data.errors import DataError, one_line
from experiments.errors import EXIT_BAD_INPUT, PageError, near
from models.errors import ModelError
from training.errors import TrainingError

USER_ERRORS = (PageError, DataError, ModelError, TrainingError)  # one line each; any other exception is a bug
COMMANDS = {
    "train": "Train what a page describes; resumes where it was interrupted.",
    "reproduce": "Train pages of papers and add their rows to the ledger.",
    "eval": "Measure a trained network; adds to DIR/eval.json.",
    "predict": "Apply a trained network to images.",
    "sample": "Draw images from a trained generative network.",
    "import": "Make a work directory of weights that were trained elsewhere.",
    "export": "Write a trained network for other libraries, or as a StableHLO program.",
    "explain": "Show why a classifier gives its answers, as pictures.",
    "features": "Write the embeddings of pictures; --probe tells what they are worth.",
    "launch": "Train what a page describes, on another machine.",
    "sweep": "Search over keys of a page; the same command resumes it.",
    "ps": "List the runs under a folder: state, step, speed, best metric.",
    "stop": "Ask a run to save and end, as Ctrl-C does.",
    "compare": "Show how two runs, or two folders of seeds, differ.",
    "report": "Write runs, sweeps and the ledger as one HTML page that needs no network.",
    "list": "List what a page can name.",
    "show": "Show a page, its parameters, multiply-adds and memory, without training.",
    "rehearse": "Compile a page for accelerators that are not here: does it fit, what does it move, how fast at most.",
    "data": "Draw an augmented training batch with its labels.",
    "bench": "Measure speed: the loop of a page against its bare step, or a suite.",
    "ledger": "Add a row to the ledger of reproductions, or render its tables.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Carries out a command line and returns its exit code."""
    began = time.perf_counter() - (_age() if arguments is None else 0.0)
    words = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may hold any bytes, which a pipe gets as they are
        sys.stdout.reconfigure(errors="surrogateescape" if arguments is None else "backslashreplace")
    try:
        options = _parse(words)
        options.began = began
        return module(options.command).run(options) or 0
    except USER_ERRORS as error:
        print(f"fovea: {one_line(str(error))}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(f"fovea: the name is too long for this system: {one_line(str(error.filename))}", file=sys.stderr)
        return EXIT_BAD_INPUT


def module(command: str):
    """Of a command; that of one whose name is a word of Python ends in "_"."""
    return importlib.import_module(f"experiments.commands.{command}{'_' if keyword.iskeyword(command) else ''}")


def _parse(words: list[str]) -> argparse.Namespace:
    """The arguments of a command; for one that reads pages also its `overrides`, and `page` where it reads one."""
    parser = _Parser(prog="fovea", description="Computer vision experiments in JAX.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="command", dest="command")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        if words[:1] == [name]:
            module(name).arguments(command)
            _check_flags(words[1:], command)
    if words and words[0] not in COMMANDS and not words[0].startswith("-"):
        raise PageError(f"unknown command {words[0]!r}{near(words[0], COMMANDS)}")
    options, rest = parser.parse_known_args(words)
    options.overrides = _overrides(rest)
    if options.overrides and "read_page" not in options:
        raise PageError(f"--config.{options.overrides[0][0]}: this command reads no page")
    if "read_page" in options:
        options.page = options.read_page(options)
    return options


class _Parser(argparse.ArgumentParser):
    """Reports bad arguments in one line, like every error of a user."""

    def error(self, message):
        self.exit(EXIT_BAD_INPUT, f"fovea: {message} ({self.prog} --help)\n")


def _check_flags(words: list[str], command: argparse.ArgumentParser) -> None:
    """Raises PageError for a flag that the command does not have, before argparse reports what is missing for it."""
    known = ["--config", *command._option_string_actions]  # hidden ones too, which the usage leaves out
    for word in words:
        if word == "--":
            return
        if word.startswith("--") and not word.startswith("--config.") and word.partition("=")[0] not in known:
            raise PageError(f"unknown argument {word!r}{near(re.split('[=.]', word)[0], known)}")


def _overrides(rest: list[str]) -> list[tuple[str, str]]:
    """["--config.section.key=value"] -> [("section.key", "value")]."""
    for word in rest:
        if not word.startswith("--config.") or "=" not in word:
            raise PageError(f"unknown argument {word!r}: a key is set by --config.section.key=value")
    return [tuple(word.removeprefix("--config.").split("=", 1)) for word in rest]


def _age() -> float:
    """Seconds since this process began, before the interpreter started; 0 where the system is not Linux."""
    try:
        ticks = int(pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        return 0.0


if __name__ == "__main__":
    sys.exit(main())
