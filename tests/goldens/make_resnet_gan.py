"""Images, scores, gradients and moved statistics of narrow residual GANs, from torch.

python -m tests.goldens.make_resnet_gan    # needs torch

The networks of Gulrajani et al. 2017, appendix F, written after igul222/improved_wgan_training (gan_cifar_resnet.py);
the module names are those of our fields.
"""

import torch
from torch import nn
from torch.nn import functional as F

from tests.goldens.make_classification import seeded_images
from tests.goldens.record import record, seed

WIDTH = 4


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(WIDTH)

    def forward(self, x):
        return self.norm(x)


class Up(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = Normed(), Normed()
        self.conv1, self.conv2 = (nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(2))
        self.shortcut = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, x):
        up = lambda x: F.interpolate(x, scale_factor=2, mode="nearest")
        y = self.conv1(up(F.relu(self.norm1(x))))
        return self.conv2(F.relu(self.norm2(y))) + self.shortcut(up(x))


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.input = nn.Linear(16, 4 * 4 * WIDTH)
        self.block0, self.block1, self.block2 = Up(), Up(), Up()
        self.norm, self.output = nn.BatchNorm2d(WIDTH), nn.Conv2d(WIDTH, 3, 3, padding=1)

    def forward(self, z):
        x = self.input(z).reshape(-1, 4, 4, WIDTH).permute(0, 3, 1, 2)
        x = self.block2(self.block1(self.block0(x)))
        return torch.tanh(self.output(F.relu(self.norm(x))))


class Down(nn.Module):
    def __init__(self, inputs, halved, first):
        super().__init__()
        self.halved, self.first = halved, first
        self.conv1, self.conv2 = nn.Conv2d(inputs, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        if halved:
            self.shortcut = nn.Conv2d(inputs, WIDTH, 1)

    def forward(self, x):
        y = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if not self.halved:
            return x + y
        return F.avg_pool2d(y, 2) + F.avg_pool2d(self.shortcut(x), 2)


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.block0, self.block1 = Down(3, True, True), Down(WIDTH, True, False)
        self.block2, self.block3 = Down(WIDTH, False, False), Down(WIDTH, False, False)
        self.score = nn.Linear(WIDTH, 1)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.block0(x))))
        return self.score(F.relu(x).mean((2, 3)))


def main():
    noise = torch.from_numpy(seeded_images(3, 1, 1, 16)[:, 0, 0]).double()
    model = seed(Generator()).double().train()
    record("resnet_gan_generator", model, model(noise)[:, :, ::3, ::3])

    images = torch.from_numpy(seeded_images(3, 32, 32, 3)).permute(0, 3, 1, 2).double()
    model = seed(Critic()).double()
    record("resnet_gan_critic", model, model(images))


if __name__ == "__main__":
    main()
