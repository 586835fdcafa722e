"""Parsers of the values of arguments. Each raises ArgumentTypeError with one line."""

import argparse
import os
import pathlib


def positive(text: str) -> int:
    """An int from 1 on."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return int(text)


def output(text: str) -> str:
    """A file to write: one of a name that the system takes, and not a folder; "-" is the standard output."""
    path = pathlib.Path(text)
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:  # the name is too long, a file is in the place of a folder
        raise argparse.ArgumentTypeError(f"cannot write {text}: {os.strerror(error.errno)}") from None
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder: name a file in it")
    return text


def minutes(text: str) -> float:
    """A positive, finite number."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of minutes")
    return found


def seeds(text: str) -> int | list[int]:
    """ "3" -> a number of seeds; "0,1,2" and "7," -> the seeds themselves."""
    try:
        found = [int(word) for word in text.removesuffix(",").split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor like 0,1,2") from None
    if "," not in text and found[0] < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive; for the single seed {text} write '{text},'")
    if len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"{text} has a seed twice")
    return found if "," in text else found[0]


def parameter(text: str) -> tuple[str, int | str]:
    """ "time=60" -> the parameter and its value, an int where it is one."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not like time=60")
    return key, int(value) if value.isdigit() else value


def choices(text: str) -> tuple[str, list[str]]:
    """ "task.sampling_steps=10,20" -> the key and its values."""
    key, _, values = text.partition("=")
    if not key or not all(values.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is not like task.sampling_steps=10,20")
    return key, values.split(",")


def space(text: str) -> tuple[str, str]:
    """ "schedule.peak=log:1e-4..1e-1" -> the key and its space."""
    key, _, values = text.partition("=")
    if not key or not values:
        raise argparse.ArgumentTypeError(f"{text!r} is not like schedule.peak=log:1e-4..1e-1")
    return key, values


def slots(text: str) -> str:
    """ "auto", "no" or a number of trials."""
    if text not in ("auto", "no") and not (text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not auto, no, or a number of trials")
    return text


def pair(text: str) -> tuple[str, str]:
    """ "steps=20" -> the name and its value."""
    name, _, value = text.partition("=")
    if not name or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not like steps=20")
    return name, value
