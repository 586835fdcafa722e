"""Answers pictures with the network in this folder: python run.py photo.jpg …

Needs jax, flatbuffers, NumPy and Pillow, and nothing of fovea.
"""

import json
import pathlib
import re
import sys

import numpy as np
from jax import export
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
VIA = {"La": "LA", "RGBa": "RGBA", "LAB": "RGB", "HSV": "RGB", "YCbCr": "RGB", "CMYK": "RGB"}


def prepare(file: str, about: dict) -> np.ndarray:
    """A picture as [H, W, C] uint8: its whole ("resize"), or 7/8 of its centre.

    It is turned as its EXIF says, and lies over the background as far as it is transparent. Raises ValueError for
    more than 8 bits a channel, and for a TIFF of several pages.
    """
    height, width, channels = about["shape"]
    image = Image.open(file)
    stored = str(image.tile[0].args) if image.tile else ""
    if image.mode[0] in "IF" or re.search(r"\b(LA|RGB|CMYK)[A-Za-z]*;16", stored):
        raise ValueError(f"{file} has more than 8 bits a channel: save it with 8 bits")
    if image.format == "TIFF" and image.n_frames > 1:
        raise ValueError(f"{file} has {image.n_frames} pages: save each page as a file")
    image = colours(ImageOps.exif_transpose(image), channels, about["background"])
    box = (0, 0, image.width, image.height)
    if about["crop"] != "resize":
        aspect = width / height
        side = min(image.width / aspect, image.height) * 224 / 256
        left, top = (image.width - side * aspect) / 2, (image.height - side) / 2
        box = (left, top, left + side * aspect, top + side)
    image = image.resize((width, height), Image.Resampling.BILINEAR, box)
    return np.asarray(image).reshape(height, width, channels)


def colours(image: Image.Image, channels: int, background: list[int]) -> Image.Image:
    """The image in grey (1 channel), RGB (3) or RGBA (4)."""
    image = image.convert(VIA.get(image.mode, image.mode))
    if image.has_transparency_data and channels != 4:
        below = Image.new("RGBA", image.size, (*(background * 3)[:3], 255))
        image = Image.alpha_composite(below, image.convert("RGBA")).convert("RGB")
    return image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])


def main(files: list[str]) -> None:
    about = json.loads((HERE / "about.json").read_text())
    program = export.deserialize(bytearray((HERE / "program.stablehlo").read_bytes()))
    with np.load(HERE / "weights.npz") as stored:
        weights = dict(stored)
    for file in files:
        try:
            image = prepare(file, about)
        except (OSError, ValueError) as error:
            sys.exit(str(error))
        outputs = program.call(weights, image[None])
        for name, kind in about["outputs"].items():
            value = np.asarray(outputs[name])[0]
            if kind == "label":
                print(f"{file}: {about['classes'][int(value)]}")
            else:
                print(f"{file}: {name} {np.array2string(value, threshold=20)}")


if __name__ == "__main__":
    main(sys.argv[1:])
