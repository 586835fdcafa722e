"""Stock TFDS sets: written by TensorFlow in its own environment, read here without it.

`make tensorflow` builds `.venv-tensorflow`, as CI does; FOVEA_TENSORFLOW_PYTHON names another interpreter that has it.
"""

import gzip
import os
import pathlib
import subprocess

import numpy as np
import pytest

from data import open_source
from experiments.cli import main
from training.records import read

ROOT = pathlib.Path(__file__).parents[2]
SETS = ("mnist", "fashion_mnist")


@pytest.fixture(scope="module")
def prepared(shared_datasets, tmp_path_factory):
    """One data_dir for both sets, whose original files have the same names."""
    python = os.environ.get("FOVEA_TENSORFLOW_PYTHON", str(ROOT / ".venv-tensorflow" / "bin" / "python"))
    if not pathlib.Path(python).exists():
        pytest.skip("TensorFlow's environment is not here: make tensorflow")
    data_dir = tmp_path_factory.mktemp("tfds")
    for name in SETS:
        arguments = ["--name", name, "--data_dir", str(data_dir), "--manual_dir", str(shared_datasets / name)]
        subprocess.run([python, "-m", "data.prepare", *arguments], cwd=ROOT, check=True, capture_output=True)
    return str(data_dir)


def original(path: pathlib.Path, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(path.read_bytes())[header:], np.uint8)


@pytest.mark.parametrize("name", SETS)
def test_prepared_set_holds_the_original_examples(prepared, shared_datasets, name):
    images = original(shared_datasets / name / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)
    labels = original(shared_datasets / name / "t10k-labels-idx1-ubyte.gz", 8)
    source = open_source(f"tfds:{name}", "test", data_dir=prepared)
    found = source.resident()

    def rows(images, labels):
        return sorted(zip((image.tobytes() for image in images), labels.tolist(), strict=True))

    assert rows(found["image"], found["label"]) == rows(images, labels)
    assert len(open_source(f"tfds:{name}", "train", data_dir=prepared)) == 60_000
    assert len(source.info.classes) == 10


def test_lenet_trains_from_the_prepared_mnist(prepared, tmp_path):
    sizes = {"steps": 40, "log_every": 20, "evaluate_every": 40, "checkpoint_every": 40}
    overrides = [f"--config.train.{key}={value}" for key, value in sizes.items()]
    data = [f"--config.data.data_dir={prepared}", "--config.data.test=test[:1000]"]
    assert main(["train", "--config", "lenet5_mnist", "--workdir", str(tmp_path), *data, *overrides]) == 0
    first, last = (r["train/loss"] for r in read(tmp_path) if "train/loss" in r)
    assert last < first
    assert read(tmp_path)[-1]["test/accuracy"] > 0.5  # a tenth is chance
