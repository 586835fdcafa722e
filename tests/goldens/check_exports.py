"""What fovea exports, in the networks whose names it has: they load it, and give the golden logits.

python -m tests.goldens.make_exports FOLDER     # needs fovea
python -m tests.goldens.check_exports FOLDER    # needs torch, torchvision, timm, transformers and safetensors
"""

import pathlib
import sys

import numpy as np

from tests.goldens.make_classification import seeded_images
from tests.goldens.make_zoo import ZOO
from tests.goldens.record import HERE


def check(name: str, folder: pathlib.Path) -> str:
    """Loads NAME.pth and NAME.safetensors, every name of both, and compares the logits of the first in float64."""
    import torch
    from safetensors.torch import load_file

    build, side, _ = ZOO[name]
    try:
        model = build().double().eval()
    except ModuleNotFoundError as error:
        return f"not checked: {error}"
    tensors = torch.load(folder / f"{name}.pth", weights_only=True)
    other = load_file(folder / f"{name}.safetensors")
    if tensors.keys() != other.keys() or not all(torch.equal(x, other[key]) for key, x in tensors.items()):
        return "the two files differ"
    lacking, unexpected = model.load_state_dict(tensors, strict=False)
    # What a network recomputes (a table of positions) or ignores is not exported.
    parameters = {key for key, _ in model.named_parameters()}
    if unexpected or parameters & set(lacking):
        return f"names do not fit: {[*unexpected, *(parameters & set(lacking))][:3]}"
    with np.load(HERE / f"{name}.npz") as stored:
        expected = stored["logits"]
    images = torch.from_numpy(seeded_images(len(expected), side, side, 3).transpose(0, 3, 1, 2).copy()).double()
    with torch.no_grad():
        error = np.abs(model(images).numpy() - expected).max() / np.abs(expected).max()
    return f"ok, {error:.1e}" if error < 1e-6 else f"logits differ by {error:.1e}"


def main(folder: str) -> None:
    found = {name: check(name, pathlib.Path(folder)) for name in ZOO}
    for name, line in found.items():
        print(f"{name}: {line}")
    print(f"{sum(line.startswith('ok') for line in found.values())} of {len(found)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
