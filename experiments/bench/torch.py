"""The networks of `fovea bench --suite families` in plain PyTorch: the same sizes, losses and optimizers.

    python experiments/bench/torch.py NETWORK eager|compiled BATCH cpu|cuda     # a row for each line that it reads

A program of its own, for any Python with torch, timm and diffusers; nothing of fovea is imported. "Compiled" is
`torch.compile` of the network with its loss, whose backward pass is compiled along; the optimizers are torch's own in
their default form, and tensors have the default layout. On a GPU matrices are multiplied in TF32, as XLA does.
"""

import itertools
import json
import os
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def pixels(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def standardise(image):
    return (image.float() / 255 - 0.5) / 0.25


def learner(parameters, optimizer, loss, clip_norm=None):
    """() -> one update of `parameters`."""
    parameters = list(parameters)

    def update():
        optimizer.zero_grad()
        loss().backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, clip_norm)
        optimizer.step()

    return update


# Each network: (batch, compile) -> its modules and one step; what it makes is on the default device.


def vit(batch, compile):
    import timm

    model = timm.create_model("vit_small_patch16_224", num_classes=10)
    image, label = pixels(batch, 3, 224, 224), torch.randint(0, 10, (batch,))
    loss = compile(lambda: F.cross_entropy(model(standardise(image)), label))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05)
    return [model], learner(model.parameters(), optimizer, loss, clip_norm=1.0)


class Double(nn.Sequential):
    def __init__(self, inputs, outputs):
        layers = []
        for channels in (inputs, outputs):
            layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        super().__init__(*layers)


class UNet(nn.Module):
    def __init__(self, inputs, outputs, width, depth):
        super().__init__()
        widths = [width << level for level in range(depth + 1)]
        self.down = nn.ModuleList(Double(a, b) for a, b in itertools.pairwise([inputs, *widths]))
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(2 * n, n, 2, stride=2) for n in widths[-2::-1])
        self.up = nn.ModuleList(Double(2 * n, n) for n in widths[-2::-1])
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, x):
        skips = []
        for block in self.down[:-1]:
            skips.append(block(x))
            x = F.max_pool2d(skips[-1], 2)
        x = self.down[-1](x)
        for upsample, block in zip(self.upsample, self.up):  # noqa: B905 - of one length
            x = block(torch.cat([skips.pop(), upsample(x)], 1))
        return self.head(x)


def unet(batch, compile):
    model = UNet(3, 11, 64, 4)
    image, masks = pixels(batch, 3, 256, 256), torch.randint(0, 11, (batch, 256, 256))
    loss = compile(lambda: F.cross_entropy(model(standardise(image)), masks))
    return [model], learner(model.parameters(), torch.optim.Adam(model.parameters(), 5e-3), loss)


def vae(batch, compile):
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 500), nn.Tanh(), nn.Linear(500, 40))
    decoder = nn.Sequential(nn.Linear(20, 500), nn.Tanh(), nn.Linear(500, 784))
    image = pixels(batch, 1, 28, 28)

    @compile
    def loss():
        x = image.float() / 255
        mean, log_variance = encoder(x).chunk(2, 1)
        logits = decoder(mean + (log_variance / 2).exp() * torch.randn_like(mean))
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
        return (F.binary_cross_entropy_with_logits(logits, x.flatten(1), reduction="sum") + kl) / batch

    parameters = [*encoder.parameters(), *decoder.parameters()]
    return [encoder, decoder], learner(parameters, torch.optim.Adam(parameters, 1e-3), loss)


def dcgan(batch, compile):
    widths, layers = [100, 512, 256, 128, 64, 3], []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.ConvTranspose2d(a, b, 4, 1 if i == 0 else 2, 0 if i == 0 else 1, bias=False))
        layers += [nn.BatchNorm2d(b), nn.ReLU()] if i < 4 else [nn.Tanh()]
    generator = nn.Sequential(*layers)
    widths, layers = [3, 64, 128, 256, 512, 1], []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Conv2d(a, b, 4, 1 if i == 4 else 2, 0 if i == 4 else 1, bias=False))
        layers += [nn.BatchNorm2d(b)] if 0 < i < 4 else []
        layers += [nn.LeakyReLU(0.2)] if i < 4 else []
    discriminator = nn.Sequential(*layers)
    image = pixels(batch, 3, 64, 64)
    noise = lambda: torch.rand(batch, 100, 1, 1) * 2 - 1

    @compile
    def discriminator_loss():
        with torch.no_grad():
            fake = generator(noise())
        real = image.float() / 127.5 - 1
        return (F.softplus(-discriminator(real)) + F.softplus(discriminator(fake))).mean()

    @compile
    def generator_loss():
        return F.softplus(-discriminator(generator(noise()))).mean()

    def player(network, loss):
        optimizer = torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999))
        return learner(network.parameters(), optimizer, loss)

    update_discriminator = player(discriminator, discriminator_loss)
    update_generator = player(generator, generator_loss)

    def step():
        update_discriminator()
        discriminator.requires_grad_(False)  # its gradients would be computed for nothing
        update_generator()
        discriminator.requires_grad_(True)

    return [generator, discriminator], step


def ddpm_unet():
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=32,
        block_out_channels=(128, 256, 256, 256),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        norm_eps=1e-6,
        attention_head_dim=None,  # one head
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        dropout=0.1,
    )


def ddpm(batch, compile):
    model, image = ddpm_unet(), pixels(batch, 3, 32, 32)
    alpha_bar = (1 - torch.linspace(1e-4, 0.02, 1000)).cumprod(0)

    @compile
    def loss():
        x = image.float() / 127.5 - 1
        time, noise = torch.randint(0, 1000, (batch,)), torch.randn_like(x)
        a = alpha_bar[time].reshape(-1, 1, 1, 1)
        return F.mse_loss(model(a.sqrt() * x + (1 - a).sqrt() * noise, time).sample, noise)

    optimizer = torch.optim.Adam(model.parameters(), 2e-4)
    return [model], learner(model.parameters(), optimizer, loss, clip_norm=1.0)


def ddim(batch, compile):
    from diffusers import DDIMScheduler

    model = ddpm_unet().eval()
    network = compile(model)
    scheduler = DDIMScheduler(beta_end=0.02, beta_schedule="linear", clip_sample=True)
    scheduler.set_timesteps(50)

    @torch.no_grad()
    def sample():
        x = torch.randn(batch, 3, 32, 32)
        for now in scheduler.timesteps:
            x = scheduler.step(network(x, now).sample, now, x).prev_sample

    return [model], sample


def seconds_of(step, calls):
    began = time.perf_counter()
    for _ in range(calls):
        step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def peak_memory(device):
    """Bytes: of the device, or resident in this process since its record was last cleared."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def main(network, mode, batch, device, seconds=1.0):
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.set_float32_matmul_precision("high")
    torch.set_default_device(device)
    modules, step = globals()[network](int(batch), torch.compile if mode == "compiled" else lambda f: f)
    ready = sys.stdin.readline()
    first = seconds_of(step, 1)
    if device == "cpu":
        with open("/proc/self/clear_refs", "w") as record:
            record.write("5")
    calls = max(1, round(seconds / seconds_of(step, 1)))
    while ready:
        seconds_of(step, 1)  # as on the other side, warms up what has rested
        each = seconds_of(step, calls) / calls
        row = {
            "seconds": each,
            "examples_per_s": int(batch) / each,
            "compile_seconds": max(first - each, 0),
            "peak_memory_mb": peak_memory(device) / 2**20,
            "parameters": sum(p.numel() for module in modules for p in module.parameters()),
        }
        print(json.dumps(row), flush=True)
        ready = sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
