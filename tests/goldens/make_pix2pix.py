"""Images, scores and gradients of narrow pix2pix networks, from torch.

    python -m tests.goldens.make_pix2pix    # needs torch

The module names are those of junyanz/pytorch-CycleGAN-and-pix2pix: its "unet_128" and its "basic" discriminator, with
the statistics of the batch. Dropout has the rate 0.
"""

import torch
from torch import nn

from tests.goldens.make_classification import seeded_images
from tests.goldens.record import record, seed

WIDTH, DEPTH = 2, 7

norm = lambda width: nn.BatchNorm2d(width, track_running_stats=False)


class Block(nn.Module):
    """A convolution down, the deeper block, and a convolution up, joined with what came in."""

    def __init__(self, level):
        super().__init__()
        widths = [3, *(WIDTH * min(2**i, 8) for i in range(DEPTH))]
        outer, inner, self.level = widths[level], widths[level + 1], level
        down = nn.Conv2d(outer, inner, 4, 2, 1, bias=False)
        up = nn.ConvTranspose2d(inner * (1 if level == DEPTH - 1 else 2), outer, 4, 2, 1, bias=level == 0)
        if level == 0:
            layers = [down, Block(1), nn.ReLU(), up, nn.Tanh()]
        elif level == DEPTH - 1:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, norm(outer)]
        else:
            layers = [nn.LeakyReLU(0.2), down, norm(inner), Block(level + 1), nn.ReLU(), up, norm(outer)]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x) if self.level == 0 else torch.cat([x, self.model(x)], 1)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = Block(0)

    def forward(self, x):
        return self.model(x)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        layers, width = [nn.Conv2d(6, WIDTH, 4, 2, 1), nn.LeakyReLU(0.2)], WIDTH
        for stride in (2, 2, 1):
            layers += [nn.Conv2d(width, 2 * width, 4, stride, 1, bias=False), norm(2 * width), nn.LeakyReLU(0.2)]
            width *= 2
        self.model = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, 1, 1))

    def forward(self, x):
        return self.model(x)


def main():
    images = torch.from_numpy(seeded_images(2, 128, 128, 3)).permute(0, 3, 1, 2).double()
    module = seed(Generator()).double()
    record("pix2pix_generator", module, module(images)[:, :, ::9, ::9])
    pairs = torch.from_numpy(seeded_images(2, 48, 40, 6)).permute(0, 3, 1, 2).double()
    module = seed(Discriminator()).double()
    record("pix2pix_discriminator", module, module(pairs))


if __name__ == "__main__":
    main()
