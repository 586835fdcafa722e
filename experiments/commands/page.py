"""The arguments of a command that reads a page: `--config` or `--workdir`, and `--config.section.key=value`."""

import argparse

from ml_collections import ConfigDict

from experiments.pages.catalogue import load
from experiments.pages.overrides import check_sections, override
from experiments.pages.stored import read_page


def add_config(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """`--config PAGE`; the command gets `options.page`, which is None where it is not required and not given."""
    parser.add_argument("--config", required=required, metavar="PAGE", help="a page's name, or its file")
    _read_by(parser, of_config)


def add_workdir(parser: argparse.ArgumentParser) -> None:
    """`--workdir DIR`; the command gets `options.page`, the page stored there."""
    parser.add_argument("--workdir", required=True, metavar="DIR", help="the work directory of a run")
    _read_by(parser, of_workdir)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Only `--config.section.key=value`, for a command that loads its pages itself."""
    _read_by(parser, of_names)


def _read_by(parser, read):
    parser.epilog = "Any key of the page is set by --config.section.key=value."
    parser.set_defaults(read_page=read)


def of_config(options: argparse.Namespace) -> ConfigDict | None:
    check_sections(options.overrides)
    if options.config is not None:
        return override(load(options.config), options.overrides)
    return None


def of_workdir(options: argparse.Namespace) -> ConfigDict:
    check_sections(options.overrides)
    return override(read_page(options.workdir), options.overrides)


def of_names(options: argparse.Namespace) -> None:
    check_sections(options.overrides)
