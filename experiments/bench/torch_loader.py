"""The input path of `fovea bench --suite stream` in plain PyTorch: a DataLoader over JPEG files.

    python experiments/bench/torch_loader.py FOLDER SIDE BATCH      # a row for each line that it reads

A program of its own, for any Python with torch and torchvision; nothing of fovea is imported. Each core has a worker
that decodes with torchvision's own decoder, crops at random, resizes with antialiasing, flips and standardises: what
the page of the suite does on the other side.
"""

import json
import os
import pathlib
import sys
import time

import torch
from torchvision.io import ImageReadMode, decode_image, read_file
from torchvision.transforms import v2


class Files(torch.utils.data.Dataset):
    def __init__(self, folder, side):
        self.files = sorted(map(str, pathlib.Path(folder).rglob("*.jpg")))
        vary = [v2.RandomResizedCrop(side, antialias=True), v2.RandomHorizontalFlip()]
        scale = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)]
        self.vary = v2.Compose(vary + scale)

    def __len__(self):
        return 10**9  # it goes round, so that no epoch ends

    def __getitem__(self, i):
        return self.vary(decode_image(read_file(self.files[i % len(self.files)]), ImageReadMode.RGB))


def main(folder, side, batch, seconds=3.0):
    workers = len(os.sched_getaffinity(0))
    loader = torch.utils.data.DataLoader(Files(folder, int(side)), int(batch), num_workers=workers, prefetch_factor=4)
    batches = iter(loader)
    for _ in sys.stdin:
        next(batches)
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            count += len(next(batches))
        print(json.dumps({"images_per_s": count / (time.perf_counter() - began)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
