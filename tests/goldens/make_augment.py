"""Goldens for augmentation: one small picture through torchvision's and OpenCV's own operations.

    python tests/goldens/make_augment.py        # in an environment with torch, torchvision, opencv-python-headless

Writes augment.npz beside this file. Pictures are float32 in [0, 1] unless an operation only takes uint8.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import autoaugment
from torchvision.transforms import functional as F
from torchvision.transforms.functional import InterpolationMode

rows, columns = np.mgrid[:20, :24] / 24
noise = np.random.default_rng(0).uniform(0, 0.3, (20, 24, 3))
picture = np.stack([rows, columns, (rows - columns) ** 2], -1) * 0.7 + noise
picture = np.rint(picture * 255).astype(np.uint8)

tensor = torch.tensor(picture).permute(2, 0, 1) / 255
goldens = {"picture": picture}


def keep(name, image):
    goldens[name] = image.permute(1, 2, 0).numpy()


for turn in (-0.4, 0.1, 0.5):
    keep(f"hue_{turn}", F.adjust_hue(tensor, turn))
for factor in (0.3, 1.6):
    keep(f"brightness_{factor}", F.adjust_brightness(tensor, factor))
    keep(f"contrast_{factor}", F.adjust_contrast(tensor, factor))
    keep(f"saturation_{factor}", F.adjust_saturation(tensor, factor))
keep("blur_torchvision", F.gaussian_blur(tensor, 5, 1.3))
goldens["blur_opencv"] = cv2.GaussianBlur(
    picture.astype(np.float32) / 255, (7, 7), 0.8, borderType=cv2.BORDER_REFLECT_101
)

# RandAugment's operations at magnitude 18 of 30 on a PIL image, with a positive sign.
augment = autoaugment.RandAugment(magnitude=18)
space = augment._augmentation_space(31, picture.shape[:2])
for name, (magnitudes, _) in space.items():
    magnitude = float(magnitudes[18]) if magnitudes.ndim else 0.0
    goldens[f"rand_{name}"] = np.asarray(
        autoaugment._apply_op(Image.fromarray(picture), name, magnitude, InterpolationMode.BILINEAR, None)
    )

np.savez_compressed(Path(__file__).parent / "augment.npz", **goldens)
