"""Images, scores and gradients of narrow CycleGAN networks, from torch.

    python -m tests.goldens.make_cyclegan    # needs torch

The module names are those of junyanz/pytorch-CycleGAN-and-pix2pix: its "resnet_9blocks" and its "basic" discriminator.
"""

import torch
from torch import nn

from tests.goldens.make_classification import seeded_images
from tests.goldens.record import record, seed

WIDTH, BLOCKS = 2, 9


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        half = lambda: [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
        self.conv_block = nn.Sequential(*half(), nn.ReLU(), *half())

    def forward(self, x):
        return x + self.conv_block(x)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, WIDTH, 7), nn.InstanceNorm2d(WIDTH), nn.ReLU()]
        for width in (WIDTH, 2 * WIDTH):
            layers += [nn.Conv2d(width, 2 * width, 3, 2, 1), nn.InstanceNorm2d(2 * width), nn.ReLU()]
        layers += [Block(4 * WIDTH) for _ in range(BLOCKS)]
        for width in (4 * WIDTH, 2 * WIDTH):
            up = nn.ConvTranspose2d(width, width // 2, 3, 2, 1, output_padding=1)
            layers += [up, nn.InstanceNorm2d(width // 2), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(WIDTH, 3, 7), nn.Tanh())

    def forward(self, x):
        return self.model(x)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        layers, width = [nn.Conv2d(3, WIDTH, 4, 2, 1), nn.LeakyReLU(0.2)], WIDTH
        for stride in (2, 2, 1):
            layers += [nn.Conv2d(width, 2 * width, 4, stride, 1), nn.InstanceNorm2d(2 * width), nn.LeakyReLU(0.2)]
            width *= 2
        self.model = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, 1, 1))

    def forward(self, x):
        return self.model(x)


def main():
    for file, module, size in (("generator", Generator(), (16, 20)), ("discriminator", Discriminator(), (48, 40))):
        images = torch.from_numpy(seeded_images(2, *size, 3)).permute(0, 3, 1, 2)
        module = seed(module)
        record(f"cyclegan_{file}", module, module(images))


if __name__ == "__main__":
    main()
