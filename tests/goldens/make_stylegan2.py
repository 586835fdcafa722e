"""Images, scores and gradients of narrow StyleGAN2 networks, from torch.

    python -m tests.goldens.make_stylegan2    # needs torch

Written as the authors' code computes it: a kernel for each example in one grouped convolution, transposed convolutions
followed by the filter to double, the filter followed by strided convolutions to halve. Module names are our fields.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from tests.goldens.make_classification import seeded_images
from tests.goldens.record import record, seed

LATENT, WIDTHS, MAPPING = 6, (8, 8, 4), 2

FIR = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
FIR = torch.outer(FIR, FIR) / 64
leaky = lambda x: F.leaky_relu(x, 0.2) * math.sqrt(2)


def filtered(x, pad, gain=1):
    channels = x.shape[1]
    return F.conv2d(F.pad(x, pad), (gain * FIR).expand(channels, 1, 4, 4), groups=channels)


def doubled(x):
    zeros = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    zeros[:, :, ::2, ::2] = x
    return filtered(zeros, (2, 1, 2, 1), 4)


class Affine(nn.Module):
    def __init__(self, inputs, outputs, start=0.0, rate=1.0):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(outputs, inputs)), nn.Parameter(torch.zeros(outputs))
        self.gain, self.rate = rate / math.sqrt(inputs), rate

    def forward(self, x):
        return F.linear(x, self.weight * self.gain, self.bias * self.rate)


class Modulated(nn.Module):
    def __init__(self, inputs, outputs, size=3, demodulate=True, up=False):
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.randn(outputs, inputs, size, size)),
            nn.Parameter(torch.zeros(outputs)),
        )
        self.style, self.demodulate, self.up, self.size = Affine(LATENT, inputs), demodulate, up, size

    def forward(self, x, w):
        batch, inputs, height, width = x.shape
        outputs = len(self.weight)
        kernel = self.weight / math.sqrt(self.weight[0].numel()) * self.style(w)[:, None, :, None, None]
        if self.demodulate:
            kernel = kernel * torch.rsqrt(kernel.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        x = x.reshape(1, batch * inputs, height, width)
        if self.up:
            kernel = kernel.transpose(1, 2).reshape(batch * inputs, outputs, self.size, self.size).flip(2, 3)
            x = F.conv_transpose2d(x, kernel, stride=2, groups=batch)
            x = filtered(x.reshape(batch, outputs, 2 * height + 1, 2 * width + 1), (1, 1, 1, 1), 4)
        else:
            x = F.conv2d(x, kernel.flatten(0, 1), padding=self.size // 2, groups=batch)
            x = x.reshape(batch, outputs, height, width)
        return x + self.bias[:, None, None]


class Mapping(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer0, self.layer1 = Affine(LATENT, LATENT, rate=0.01), Affine(LATENT, LATENT, rate=0.01)

    def forward(self, z):
        z = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        return leaky(self.layer1(leaky(self.layer0(z))))


class Synthesis(nn.Module):
    def __init__(self):
        super().__init__()
        self.start = nn.Parameter(torch.randn(4, 4, WIDTHS[0]))
        for i, width in enumerate(WIDTHS):
            if i > 0:
                setattr(self, f"up{i}", Modulated(WIDTHS[i - 1], width, up=True))
            setattr(self, f"conv{i}", Modulated(width, width))
            setattr(self, f"image{i}", Modulated(width, 3, 1, False))

    def forward(self, w):
        x, image = self.start.permute(2, 0, 1).expand(len(w), -1, -1, -1), None
        for i in range(len(WIDTHS)):
            if i > 0:
                x = leaky(getattr(self, f"up{i}")(x, w))
            x = leaky(getattr(self, f"conv{i}")(x, w))
            own = getattr(self, f"image{i}")(x, w)
            image = own if image is None else doubled(image) + own
        return image


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.to_style, self.synthesis = Mapping(), Synthesis()

    def forward(self, z):
        return self.synthesis(self.to_style(z))


class Conv(nn.Module):
    def __init__(self, inputs, outputs, size, stride=1, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.stride = stride

    def forward(self, x):
        size = self.weight.shape[-1]
        kernel = self.weight / math.sqrt(self.weight[0].numel())
        if self.stride == 1:
            return F.conv2d(x, kernel, self.bias, padding=size // 2)
        margin = (2, 2) if size == 3 else (1, 1)
        return F.conv2d(filtered(x, margin * 2), kernel, self.bias, stride=2)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        widths = (*WIDTHS[::-1],)
        self.input = Conv(3, widths[0], 1)
        for i in range(2):
            setattr(self, f"block{i}_conv1", Conv(widths[i], widths[i], 3))
            setattr(self, f"block{i}_conv2", Conv(widths[i], widths[i + 1], 3, 2))
            setattr(self, f"block{i}_skip", Conv(widths[i], widths[i + 1], 1, 2, False))
        self.conv = Conv(widths[-1], widths[-1], 3)
        self.hidden, self.score = Affine(16 * widths[-1], widths[-1]), Affine(widths[-1], 1)

    def forward(self, x):
        x = leaky(self.input(x))
        for i in range(2):
            y = leaky(getattr(self, f"block{i}_conv2")(leaky(getattr(self, f"block{i}_conv1")(x))))
            x = (y + getattr(self, f"block{i}_skip")(x)) / math.sqrt(2)
        x = leaky(self.conv(x)).permute(0, 2, 3, 1).flatten(1)
        return self.score(leaky(self.hidden(x)))


def main():
    noise = torch.from_numpy(seeded_images(3, 1, 1, LATENT)[:, 0, 0]).double()
    model = seed(Generator()).double()
    record("stylegan2_generator", model, model(noise))
    images = torch.from_numpy(seeded_images(3, 16, 16, 3)).permute(0, 3, 1, 2).double()
    model = seed(Discriminator()).double()
    record("stylegan2_discriminator", model, model(images))


if __name__ == "__main__":
    main()
