"""Answers pictures with the network in this folder: python run.py photo.jpg …

Needs jax, flatbuffers, NumPy and Pillow, and nothing of fovea.
"""

import json
import pathlib
import sys

import numpy as np
from jax import export
from PIL import Image

HERE = pathlib.Path(__file__).parent


def prepare(file: str, about: dict) -> np.ndarray:
    """A picture as [H, W, C] uint8: its whole ("resize"), or 7/8 of its centre."""
    height, width, channels = about["shape"]
    image = Image.open(file).convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
    left, top, right, bottom = 0, 0, image.width, image.height
    if about["crop"] != "resize" and image.size != (width, height):
        side = min(image.width * height / width, image.height) * 224 / 256
        left, top = (image.width - side * width / height) / 2, (image.height - side) / 2
        right, bottom = left + side * width / height, top + side
    image = image.resize((width, height), Image.Resampling.BILINEAR, (left, top, right, bottom))
    return np.asarray(image).reshape(height, width, channels)


def main(files: list[str]) -> None:
    about = json.loads((HERE / "about.json").read_text())
    program = export.deserialize(bytearray((HERE / "program.stablehlo").read_bytes()))
    with np.load(HERE / "weights.npz") as stored:
        weights = dict(stored)
    for file in files:
        outputs = program.call(weights, prepare(file, about)[None])
        for name, kind in about["outputs"].items():
            value = np.asarray(outputs[name])[0]
            if kind == "label":
                print(f"{file}: {about['classes'][int(value)]}")
            else:
                print(f"{file}: {name} {np.array2string(value, threshold=20)}")


if __name__ == "__main__":
    main(sys.argv[1:])
