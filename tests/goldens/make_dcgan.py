"""Images, scores, gradients and moved statistics of a narrow DCGAN at 64×64, from torch.

python -m tests.goldens.make_dcgan    # needs torch

The layers and their names are those of pytorch/examples.
"""

import torch
from torch import nn

from tests.goldens.make_classification import seeded_images
from tests.goldens.record import record, seed

WIDTH = 4


class Main(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.main = nn.Sequential(*layers)

    def forward(self, x):
        return self.main(x)


def generator(latent=100):
    widths = [latent, *(WIDTH << i for i in (3, 2, 1, 0)), 3]
    layers = []
    for i in range(5):
        stride, padding = (1, 0) if i == 0 else (2, 1)
        layers.append(nn.ConvTranspose2d(widths[i], widths[i + 1], 4, stride, padding, bias=False))
        if i < 4:
            layers += [nn.BatchNorm2d(widths[i + 1]), nn.ReLU()]
    return Main(*layers, nn.Tanh())


def discriminator():
    widths = [3, *(WIDTH << i for i in (0, 1, 2, 3)), 1]
    layers = []
    for i in range(5):
        stride, padding = (1, 0) if i == 4 else (2, 1)
        layers.append(nn.Conv2d(widths[i], widths[i + 1], 4, stride, padding, bias=False))
        if 0 < i < 4:
            layers.append(nn.BatchNorm2d(widths[i + 1]))
        if i < 4:
            layers.append(nn.LeakyReLU(0.2))
    return Main(*layers)


def main():
    model = seed(generator()).train()
    noise = torch.from_numpy(seeded_images(4, 1, 1, 100)).permute(0, 3, 1, 2)
    record("dcgan_generator", model, model(noise)[:, :, ::2, ::2])

    model = seed(discriminator()).train()
    images = torch.from_numpy(seeded_images(4, 64, 64, 3)).permute(0, 3, 1, 2)
    record("dcgan_discriminator", model, model(images)[:, :, 0, 0])


if __name__ == "__main__":
    main()
