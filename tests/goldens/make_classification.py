"""Reference outputs for the classification networks, from torch. The suite reads the .npz files only.

    python -m tests.goldens.make_classification    # needs torch, torchvision and ../shared/datasets

Torchvision's weights are not stored: `seeded_weights` makes them again from their names and shapes.
"""

import pathlib
import zlib

import numpy as np

HERE = pathlib.Path(__file__).parent
SHARED = HERE.parents[2] / "shared" / "datasets"


def seeded_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Weights of a plausible scale for a torch state_dict: a tensor depends on its name and shape alone."""
    return {name: seeded_tensor(name, shape) for name, shape in shapes.items()}


def seeded_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    # RandomState, whose streams numpy has promised not to change.
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if len(shape) > 1:  # kernels: He's, by fan-in
        tensor = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith("running_var"):
        tensor = random.uniform(0.5, 1.5, shape)
    elif name.endswith("weight"):  # scales of BatchNorm; small enough that fifty layers do not blow up
        tensor = random.uniform(0.3, 0.7, shape)
    else:
        tensor = 0.1 * random.standard_normal(shape)
    return tensor.astype(np.float32)


def seeded_images(*shape: int) -> np.ndarray:
    """Standard normal float32, [B, H, W, C]."""
    return np.random.RandomState(0).standard_normal(shape).astype(np.float32)


def torchvision_resnet(depth: int, leaves: list[str], last_var: str) -> dict[str, np.ndarray]:
    """In evaluation: logits and gradients of the cross-entropy. In training: logits and moved statistics.

    In float64, since in float32 the sign of one ReLU near zero moves a gradient by a part in a thousand.
    """
    import torch
    import torchvision

    model = getattr(torchvision.models, f"resnet{depth}")(num_classes=10)
    shapes = {name: tuple(t.shape) for name, t in model.state_dict().items() if t.ndim}
    model.load_state_dict({k: torch.from_numpy(v) for k, v in seeded_weights(shapes).items()}, strict=False)
    model.double()
    images = torch.from_numpy(seeded_images(4, 32, 32, 3)).permute(0, 3, 1, 2).double()

    model.eval()
    logits = model(images)
    torch.nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    gradients = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
    model.train()
    train_logits = model(images)
    statistics = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return {
        "names": np.array(list(shapes)),
        "shapes": np.array([" ".join(map(str, shape)) for shape in shapes.values()]),
        "logits": logits.detach().numpy(),
        "gradient_names": np.array(list(gradients)),
        "gradient_norms": np.array([np.linalg.norm(g) for g in gradients.values()]),
        **{f"gradient/{name}": gradients[name].reshape(-1)[:256] for name in leaves},
        "train_logits": train_logits.detach().numpy(),
        **{f"moved/{name}": statistics[name] for name in ("bn1.running_mean", "bn1.running_var", last_var)},
    }


def akamaster_resnet20() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The published CIFAR-10 weights, and 64 test images with the logits that torch gives them."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.stride, self.new = stride, outputs - inputs

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new // 2, self.new // 2))
            return F.relu(x + y)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(16)
            self.layer1 = nn.Sequential(*[Block(16, 16, 1) for _ in range(3)])
            self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
            self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
            self.linear = nn.Linear(64, 10)

        def forward(self, x):
            x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
            return self.linear(x.mean((2, 3)))

    path = SHARED / "cifar10_resnets" / "resnet20-12fca82f.th"
    weights = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    weights = {name.removeprefix("module."): tensor for name, tensor in weights.items()}
    images, labels = cifar10_test(64)
    pixels = (images / np.float32(255) - IMAGENET_MEAN) / IMAGENET_STD  # the statistics it was trained with
    model = Net()
    model.load_state_dict(weights)
    model.eval()
    logits = model(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    weights = {name: t.numpy() for name, t in weights.items() if t.ndim}
    return weights, {"images": images, "labels": labels, "logits": logits.detach().numpy()}


IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


def cifar10_test(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images of each class: uint8 [count, 32, 32, 3] and their labels. A sheet holds one class."""
    from PIL import Image

    tiles, labels = [], []
    for i in range(count):
        sheet = Image.open(next((SHARED / "cifar10").glob(f"test_{i % 10}_*.webp"))).convert("RGB")
        left, top = 32 * (i // 10), 0  # ten images a row
        tiles.append(np.asarray(sheet.crop((left, top, left + 32, top + 32))))
        labels.append(i % 10)
    return np.stack(tiles), np.array(labels, np.int32)


# Table I of LeCun et al. 1998: a row per map of S2, a column per map of C3.
TABLE = [
    "X...XXX..XXXX.XX",
    "XX...XXX..XXXX.X",
    "XXX...XXX..X.XXX",
    ".XXX..XXXX..X.XX",
    "..XXX..XXXX.XX.X",
    "...XXX..XXXX.XXX",
]
LENET_SHAPES = {
    "c1.weight": (6, 1, 5, 5),
    "c1.bias": (6,),
    "s2.coefficient": (6,),
    "s2.bias": (6,),
    "c3.weight": (60, 5, 5),  # a kernel per connection, map of C3 by map of C3
    "c3.bias": (16,),
    "s4.coefficient": (16,),
    "s4.bias": (16,),
    "c5.weight": (120, 16, 5, 5),
    "c5.bias": (120,),
    "f6.weight": (84, 120),
    "f6.bias": (84,),
}


def lenet_original() -> dict[str, np.ndarray]:
    """Logits and gradients of the network of 1998, written from the equations of its section II.B."""
    import torch
    from torch.nn import functional as F

    source = (HERE.parents[1] / "models" / "classification" / "lenet.py").read_text()
    rows = [row.split() for row in source.split('BITMAPS = """')[1].split('"""')[0].split("\n") if row]
    codes = torch.tensor([[1.0 if d == "#" else -1.0 for row in rows for d in row[k]] for k in range(10)])

    w = {k: torch.from_numpy(v).requires_grad_() for k, v in seeded_weights(LENET_SHAPES).items()}
    f = lambda a: 1.7159 * torch.tanh(2 / 3 * a)

    def subsample(x, name):
        total = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
        return f(w[f"{name}.coefficient"].view(1, -1, 1, 1) * total + w[f"{name}.bias"].view(1, -1, 1, 1))

    x = torch.from_numpy(seeded_images(4, 28, 28, 1)).permute(0, 3, 1, 2)
    x = F.pad(x, (2, 2, 2, 2), mode="replicate")
    x = subsample(f(F.conv2d(x, w["c1.weight"], w["c1.bias"])), "s2")
    maps, connection = [], 0
    for o in range(16):
        total = w["c3.bias"][o]
        for i in range(6):
            if TABLE[i][o] == "X":
                total = total + F.conv2d(x[:, i : i + 1], w["c3.weight"][connection].view(1, 1, 5, 5))
                connection += 1
        maps.append(total)
    x = subsample(f(torch.cat(maps, 1)), "s4")
    x = f(F.conv2d(x, w["c5.weight"], w["c5.bias"])).flatten(1)
    x = f(x @ w["f6.weight"].T + w["f6.bias"])
    logits = -((x[:, None] - codes) ** 2).sum(-1)
    F.cross_entropy(logits, torch.arange(4)).backward()
    return {
        "logits": logits.detach().numpy(),
        **{f"gradient/{name}": tensor.grad.numpy() for name, tensor in w.items() if tensor.numel() < 2000},
    }


def main():
    np.savez_compressed(HERE / "lenet5_original.npz", **lenet_original())
    leaves = ["conv1.weight", "layer3.0.downsample.0.weight", "layer4.1.conv1.weight", "fc.weight"]
    np.savez_compressed(HERE / "resnet18.npz", **torchvision_resnet(18, leaves, "layer4.1.bn2.running_var"))
    np.savez_compressed(HERE / "resnet50.npz", **torchvision_resnet(50, leaves, "layer4.2.bn3.running_var"))
    weights, outputs = akamaster_resnet20()
    np.savez_compressed(HERE / "resnet20_cifar_weights.npz", **weights)
    np.savez_compressed(HERE / "resnet20_cifar.npz", **outputs)


if __name__ == "__main__":
    main()
