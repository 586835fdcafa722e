"""Logits, gradients and moved statistics of narrow U-Nets of full depth, from torch.

python -m tests.goldens.make_unet    # needs torch

The module names are those of milesial's Pytorch-UNet, of which `padding=1, norm=True` is the network.
"""

import torch
from torch import nn
from torch.nn import functional as F

from tests.goldens.make_classification import seeded_images
from tests.goldens.record import record, seed


class Double(nn.Module):
    def __init__(self, inputs, outputs, padding, norm):
        super().__init__()
        layers = []
        for channels in (inputs, outputs):
            conv = nn.Conv2d(channels, outputs, 3, padding=padding, bias=not norm)
            layers += [conv, nn.BatchNorm2d(outputs) if norm else nn.Identity(), nn.ReLU()]
        self.double_conv = nn.Sequential(*layers)

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, *args):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), Double(*args))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, inputs, *args):
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, inputs // 2, 2, stride=2)
        self.conv = Double(inputs, *args)

    def forward(self, x, skip):
        x = self.up(x)
        rows, columns = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
        if rows > 1:  # valid: the centre of the skip
            skip = skip[:, :, rows // 2 : rows // 2 + x.shape[2], columns // 2 : columns // 2 + x.shape[3]]
        else:
            x = F.pad(x, [0, columns, 0, rows])
        return self.conv(torch.cat([skip, x], 1))


class UNet(nn.Module):
    def __init__(self, inputs, outputs, width, padding, norm):
        super().__init__()
        self.inc = Double(inputs, width, padding, norm)
        for i in range(4):
            setattr(self, f"down{i + 1}", Down(width << i, width << (i + 1), padding, norm))
        for i in range(4):
            setattr(self, f"up{i + 1}", Up(width << (4 - i), width << (3 - i), padding, norm))
        self.outc = nn.Module()
        self.outc.conv = nn.Conv2d(width, outputs, 1)

    def forward(self, x):
        skips = [self.inc(x)]
        for i in range(4):
            skips.append(getattr(self, f"down{i + 1}")(skips[-1]))
        x = skips.pop()
        for i in range(4):
            x = getattr(self, f"up{i + 1}")(x, skips.pop())
        return self.outc.conv(x)


def main():
    for file, size, padding, norm in (("unet_valid", (188, 204), 0, False), ("unet_same", (50, 41), 1, True)):
        model = seed(UNet(1, 2, 4, padding, norm)).train()
        images = torch.from_numpy(seeded_images(2, *size, 1)).permute(0, 3, 1, 2)
        record(file, model, model(images))


if __name__ == "__main__":
    main()
