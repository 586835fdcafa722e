"""The command `fovea`. What needs no jax answers without importing it."""

import argparse
import sys

from experiments import page as pages
from experiments.component import PageError, table

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 75  # EX_TEMPFAIL: saved, start the same command again


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    known, rest = parser.parse_known_args(arguments)
    try:
        overrides = _overrides(rest, parser)
        return known.run(known, overrides) or 0
    except PageError as error:
        return _fail(error)
    except ValueError as error:
        # The errors of the other rooms, which are not imported before they are needed.
        if type(error).__name__ not in ("DataError", "TrainingError", "ModelError"):
            raise
        return _fail(error)


def _fail(error) -> int:
    print(f"fovea: {error}", file=sys.stderr)
    return EXIT_BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fovea", description="Computer vision experiments in JAX.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")

    def add(name, run, text, **kwargs):
        command = commands.add_parser(name, help=text, description=text, **kwargs)
        command.set_defaults(run=run)
        return command

    train = add("train", _train, "Train what a page describes; goes on where it was interrupted.")
    train.add_argument("--config", required=True, metavar="PAGE")
    train.add_argument("--workdir", required=True, metavar="DIR")
    train.add_argument("--fork", action="store_true", help="go on although the workdir's page differs")

    listing = add("list", _list, "List what a page can name.")
    listing.add_argument("kind", nargs="?", choices=("models", "tasks", "data", "configs"))
    return parser


def _overrides(rest: list[str], parser) -> list[tuple[str, str]]:
    """["--config.section.key=value"] -> [("section.key", "value")]."""
    overrides = []
    for word in rest:
        if not word.startswith("--config.") or "=" not in word:
            parser.error(f"unknown argument {word!r}: overrides are written --config.section.key=value")
        path, _, value = word.removeprefix("--config.").partition("=")
        overrides.append((path, value))
    return overrides


def _page(known, overrides):
    pages.locate(known.config)
    pages.check_sections(overrides)
    return pages.override(pages.load(known.config), overrides)


def _train(known, overrides) -> int:
    page = _page(known, overrides)
    from experiments.build import build
    from training.loop import Interrupted

    run = build(page, known.workdir, fork=known.fork)
    try:
        summary = run.train()
    except Interrupted as stop:
        print(f"fovea: interrupted at step {stop}; saved: the same command goes on from there", file=sys.stderr)
        return EXIT_INTERRUPTED
    for name, value in summary.items():
        print(f"{name:24} {value}")
    return 0


def _list(known, overrides) -> int:
    kinds = {"models": "model", "tasks": "task", "data": "data"}
    for kind in [known.kind] if known.kind else (*kinds, "configs"):
        if not known.kind:
            print(f"{kind}:")
        if kind == "configs":
            for name in pages.pages():
                print(f"  {name:28} {pages.summary(name)}")
        else:
            for name in table(kinds[kind]):
                print(f"  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
