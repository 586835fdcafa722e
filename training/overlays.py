"""Segmentations made visible: index masks as palette images, and colours laid over the image."""

import colorsys

import numpy as np


def palette(num_classes: int) -> np.ndarray:
    """[K, 3] uint8: black for class 0, then hues a golden section apart, so that neighbours differ whatever K is."""
    hues = (0.618034 * np.arange(num_classes)) % 1
    colours = [colorsys.hsv_to_rgb(hue, 0.85, 1.0 - 0.35 * (i % 2)) for i, hue in enumerate(hues)]
    colours[0] = (0.0, 0.0, 0.0)
    return np.round(255 * np.array(colours)).astype(np.uint8)


def overlay(image: np.ndarray, mask: np.ndarray, num_classes: int, opacity: float = 0.5) -> np.ndarray:
    """The classes of `mask` [H, W] int in colour over `image` [H, W, 1 or 3] uint8: [H, W, 3] uint8.

    Class 0, which is black, and what is ignored (negative) leave the image as it is.
    """
    image = np.broadcast_to(image, (*mask.shape, 3))
    colours = palette(num_classes)[np.maximum(mask, 0)]
    blend = np.round((1 - opacity) * image + opacity * colours).astype(np.uint8)
    return np.where(mask[..., None] > 0, blend, image)


def explain(image: np.ndarray, outputs: dict, info) -> tuple[str, dict[str, np.ndarray]]:
    """What `fovea predict` shows of one image [H, W, C] uint8: the share of each class found, overlay and mask.

    The index mask [H, W, 1] uint8 holds the classes themselves, as data sets do.
    """
    mask = np.asarray(outputs["prediction"])
    share = np.bincount(mask.ravel(), minlength=len(info.classes)) / mask.size
    found = [i for i in np.argsort(-share, kind="stable") if share[i]]
    line = " ".join(f"{info.classes[i]} {100 * share[i]:.1f}%" for i in found)
    return line, {"overlay": overlay(image, mask, len(info.classes)), "mask": mask[..., None].astype(np.uint8)}
