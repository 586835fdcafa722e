"""Small files of torch in its two formats, for the reader that needs no torch.

python -m tests.goldens.make_torch_files    # needs torch
"""

import pathlib

HERE = pathlib.Path(__file__).parent


def make():
    """A checkpoint of a training: a transposed view, a part of a storage, halves, a parameter and counters."""
    import torch

    norm = torch.nn.BatchNorm1d(3)
    whole = torch.arange(12.0)
    tensors = {
        "transposed": whole.reshape(3, 4).t(),
        "part": whole[5:7],
        "bfloat16": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "float16": torch.tensor([[0.25]], dtype=torch.float16),
        "parameter": torch.nn.Parameter(torch.tensor([3.0, 4.0])),
        "scalar": torch.tensor(7),
    }
    checkpoint = {"epoch": 3, "best": 0.5, "state_dict": tensors}
    torch.save(checkpoint, HERE / "torch_zip.pth")
    torch.save(checkpoint, HERE / "torch_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(norm.state_dict(), HERE / "torch_state.pth")


if __name__ == "__main__":
    make()
