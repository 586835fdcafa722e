"""Files that fovea exports of every network with a golden, for `check_exports.py`.

python -m tests.goldens.make_exports FOLDER    # needs fovea
"""

import pathlib
import sys

import numpy as np

from experiments.weights import safetensors, torch_files
from models.port import from_torch, to_torch
from tests.goldens.make_classification import seeded_images, seeded_weights
from tests.models.parity import abstract, golden, golden_shapes
from tests.models.test_zoo import ZOO


def main(folder: str) -> None:
    """The seeded weights of each golden, taken in and written out again: NAME.pth and NAME.safetensors."""
    out = pathlib.Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for name, (model, port) in ZOO.items():
        stored = golden(name)
        side, classes = int(stored["side"]), stored["logits"].shape[1]
        images = seeded_images(1, side, side, 3)
        like = abstract(model.clone(num_classes=classes), images, train=False)
        variables = from_torch(seeded_weights(golden_shapes(stored)), like, port)
        tensors = {key: np.asarray(x) for key, x in to_torch(variables, port).items()}
        torch_files.write_zip(tensors, out / f"{name}.pth")
        safetensors.write(tensors, out / f"{name}.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
