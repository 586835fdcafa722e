"""Writes a TensorFlow Datasets set once, in the form that fovea reads without TensorFlow (array_record).

    python -m data.prepare --name mnist --manual_dir folder/of/original/files --data_dir ~/tensorflow_datasets

TFDS's stock builders need TensorFlow for this (pip install 'fovea[tensorflow]'), reading never does. With a
`manual_dir` that holds the original files under their original names nothing is downloaded.
"""

import argparse
import contextlib
import io
import logging
import pathlib
import re
import textwrap
import urllib.parse
from collections.abc import Sequence

from data.errors import DataError, near


def find_builder(name: str, data_dir: str | None = None):
    """The TFDS builder of a set, prepared or not. Raises DataError for a name that TFDS does not know."""
    import tensorflow_datasets as tfds

    if not name:
        raise DataError("which data set? Write 'tfds:cifar10', 'tfds:mnist', …")
    try:
        builder = tfds.builder(name, data_dir=data_dir and pathlib.Path(data_dir).expanduser())
    except tfds.core.DatasetNotFoundError as error:
        close = near_sets(name, tfds.list_builders(with_community_datasets=False))  # offline, and without TensorFlow
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "none has a name like it"
        raise DataError(f"no TFDS data set {name!r}: {hint}") from error
    except ValueError as error:  # a configuration or a version that the set does not have
        raise DataError(f"tfds:{name}: {_brief(error)}") from error
    return builder


def near_sets(name: str, known: Sequence[str]) -> list[str]:
    """At most three names of the catalogue that are like `name`, the nearest first; case and configuration are free."""
    word = re.split("[/:]", name.lower().replace("-", "_"))[0]
    return list(dict.fromkeys([*near(word, known, 3), *(other for other in known if other.startswith(word))]))[:3]


def prepare(name: str, data_dir: str | None = None, manual_dir: str | None = None):
    """Downloads (or takes from `manual_dir`) and writes the set; returns its TFDS builder. Prepared sets are kept.

    Raises DataError for what can be put right: no TensorFlow, no files, no network.
    """
    builder = find_builder(name, data_dir)
    if builder.is_prepared():
        return builder
    import requests
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    root = pathlib.Path(builder.data_dir_root)
    if manual_dir and not pathlib.Path(manual_dir).expanduser().is_dir():  # TFDS would turn to the network
        raise DataError(f"no folder data.manual_dir={manual_dir!r} with the original files of tfds:{name}")
    config = tfds.download.DownloadConfig(
        manual_dir=manual_dir and pathlib.Path(manual_dir).expanduser(),
        # TFDS names an extracted file after its archive alone, and MNIST's and Fashion-MNIST's archives have the
        # same names: in a shared folder the second set would silently be written with the images of the first.
        extract_dir=root / "downloads" / "extracted" / name.replace("/", "_"),
    )
    downloader.MAX_RETRIES = 4  # its own ten take minutes before they say that there is no network
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # no line for each
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS's banners; its progress bars stay, on stderr
            builder.download_and_prepare(file_format="array_record", download_config=config)
    except requests.ConnectionError as error:
        # One that breaks off while a file is read does not say whose it was.
        host = urllib.parse.urlsplit(error.request.url).hostname if error.request else "its server"
        raise DataError(
            f"tfds:{name} is not in {root}, and {host} cannot be reached: without a network, "
            f"python -m data.prepare --name {name} --data_dir {root} --manual_dir FOLDER takes its original files"
        ) from error
    except Exception as error:
        if "No module named 'tensorflow'" in _messages(error):
            raise DataError(
                f"tfds:{name} must be prepared once with TensorFlow: pip install 'fovea[tensorflow]', then "
                f"python -m data.prepare --name {name} --data_dir {root}"
                + (f" --manual_dir {manual_dir}" if manual_dir else "")
            ) from error
        raise DataError(f"cannot prepare tfds:{name} in {root}: {_brief(error)}") from error
    return builder


def _messages(error: BaseException | None) -> str:
    """What an error and its causes say."""
    messages = []
    while error:
        messages.append(str(error) or type(error).__name__)
        error = error.__cause__ or error.__context__
    return "; from: ".join(dict.fromkeys(messages))


def _brief(error: BaseException) -> str:
    return textwrap.shorten(_messages(error), 300)  # one line


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m data.prepare", description="Write a TFDS set as array_record.")
    parser.add_argument("--name", required=True, help="as in tfds:NAME")
    parser.add_argument("--data_dir", help="where prepared sets lie (default: ~/tensorflow_datasets)")
    parser.add_argument("--manual_dir", help="folder that holds the original files")
    options = parser.parse_args()
    try:
        print(prepare(**vars(options)).info)
    except DataError as error:
        parser.exit(2, f"fovea: {error}\n")
