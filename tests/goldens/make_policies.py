"""torchvision's spaces and policies of automatic augmentation, as tables.

python -m tests.goldens.make_policies    # needs torch and torchvision
"""

import numpy as np
from torchvision.transforms import autoaugment

from tests.goldens.record import HERE

SIZE = (20, 24)  # of the picture, in pixels


def table(space) -> tuple[list[str], np.ndarray, list[bool]]:
    """(names, magnitudes [operations, steps], whether each is signed); an operation without magnitudes has zeros."""
    steps = max(magnitudes.numel() for magnitudes, _ in space.values())
    rows = [np.broadcast_to(magnitudes.numpy(), (steps,)) for magnitudes, _ in space.values()]
    return list(space), np.stack(rows).astype(float), [signed for _, signed in space.values()]


def main():
    spaces = {
        "rand": autoaugment.RandAugment()._augmentation_space(31, SIZE),
        "auto": autoaugment.AutoAugment()._augmentation_space(10, SIZE),
        "wide": autoaugment.TrivialAugmentWide()._augmentation_space(31),
    }
    arrays = {}
    for name, space in spaces.items():
        arrays |= dict(zip((f"{name}/names", f"{name}/magnitudes", f"{name}/signed"), table(space), strict=True))
    for policy in autoaugment.AutoAugmentPolicy:
        pairs = autoaugment.AutoAugment(policy).policies
        arrays[f"policy/{policy.value}/names"] = np.array([[name for name, _, _ in pair] for pair in pairs])
        arrays[f"policy/{policy.value}/numbers"] = np.array([[(p, step or 0) for _, p, step in pair] for pair in pairs])
    np.savez_compressed(HERE / "policies.npz", **arrays)


if __name__ == "__main__":
    main()
