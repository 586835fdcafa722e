"""Every page made tiny: the same topology at a few channels, on data of the same kind that is made here.

`tiny(name, folder)` reads tables: a new network needs a line in `NETWORKS`, a new task one in `TASKS`, a new source of
data one in `SOURCES`, a new set of TFDS one in `TFDS`. A page that uses what they do not have cannot be tried, and
`MissingLine` names the line to add.
"""

import contextlib
import functools
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from experiments.pages.catalogue import load, pages
from experiments.pages.component import find
from experiments.pages.schema import PLAIN, is_component
from experiments.pages.stored import canonical
from models.classification import efficientnet, mobilenet_v3
from models.classification.resnet import DEPTHS

ROLES = ("train", "validation", "test")
TRAIN, TEST = 32, 24  # examples of a split; 24 rows are one batch on 8 devices, or one and a half of 16
CROP = 44  # the smallest image for which a valid U-Net with two halvings has an output


class MissingLine(AssertionError):
    """A table here has no line for what a page uses."""


narrow = lambda key, width: lambda fields: {key: (width,) * len(fields[key])}

# network -> fields of the page -> fields that make it tiny. Blocks and levels may be fewer; their kinds, norms, padding
# and conditions stay.
NETWORKS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "mlp": narrow("hidden", 8),
    "lenet5": lambda fields: {},
    "nin": lambda fields: {},
    "alexnet": lambda fields: dict(width=0.0625, hidden=8),
    "googlenet": lambda fields: dict(width=0.25),
    "overfeat": lambda fields: dict(width=0.03125),
    "vgg": lambda fields: dict(width=2, hidden=(8,) * len(fields["hidden"])),
    "resnet_cifar": lambda fields: dict(depth=8),
    "resnet": lambda fields: {},  # see `few_blocks`
    "vit": lambda fields: dict(width=16, depth=2, heads=2, mlp=16),
    "unet": lambda fields: dict(width=2, depth=2),
    "vae": lambda fields: dict(hidden=(8,) * len(fields["hidden"]), latent=2),
    "vae_conv": lambda fields: dict(widths=tuple(range(2, 2 + len(fields["widths"]))), latent=2),
    "gan_generator": narrow("hidden", 8),
    "gan_discriminator": narrow("hidden", 8),
    "dcgan_generator": lambda fields: dict(width=2, latent=4),
    "dcgan_discriminator": lambda fields: dict(width=2),
    "centernet": lambda fields: dict(width=4),
    "show_and_tell": lambda fields: dict(width=8),
    "dncnn": lambda fields: dict(depth=4, width=4),
    "embedding": lambda fields: dict(dim=8),
    "cyclegan_generator": lambda fields: dict(width=4, blocks=1),
    "cyclegan_discriminator": lambda fields: dict(width=4, layers=1),
    "random_filters": lambda fields: dict(sizes=(3, 5), width=4),
    "pixels": lambda fields: {},
    "ddpm_unet": lambda fields: dict(
        width=8, groups=4, blocks=1, multipliers=(1, 1), attention=(4,) if fields["attention"] else ()
    ),
    "se_resnet": lambda fields: dict(width=4),  # see `few_blocks`
    "resnet_v2": lambda fields: dict(depth=14, width=32 if fields["norm"] == "group" else 4),
    "preact_cifar": lambda fields: dict(depth=8),
    "wide_resnet": lambda fields: dict(depth=10, widen=2),
    "inception_resnet": lambda fields: dict(blocks=(0, 0, 0), width=0.03),
    "densenet_cifar": lambda fields: dict(depth=10, growth=4),
    "lecun98": lambda fields: dict(variant="lenet1" if "lenet" in fields["variant"] else "300"),
    "botnet": lambda fields: dict(depth=14, width=8),
    "resnext_cifar": lambda fields: dict(width=4, groups=2, base_width=32),  # see `few_blocks`
    "mobilenet_v1": lambda fields: dict(width=0.125, depths=(1,) * 5),
    "mobilenet_v2": lambda fields: dict(width=0.125, depths=(1,) * 7),
    "mobilenet_v3": lambda fields: dict(variant="small", width=0.125),
    "efficientnet": lambda fields: dict(width=0.125, depth=0.25),
    "squeezenet": lambda fields: dict(width=0.0625),
    "shufflenet_v2": lambda fields: dict(channels=(4, 8, 12, 16), depths=(2, 1, 1)),
    "convnext": lambda fields: dict(patch=2, widths=(4, 8), depths=(1, 1)),
    "regnet": lambda fields: dict(depth=3, initial=8, slope=8.0, step=2.0, group=4),
    "darknet": lambda fields: dict(width=2, depths=(1, 2, 1, 1, 1)),
    "xception": lambda fields: dict(width=0.0625, middle=1),
    "mixer": lambda fields: dict(patch=4, width=8, depth=2, tokens=4, channels=16),
    "swin": lambda fields: dict(patch=2, window=2, width=8, depths=(2, 1), heads=(2, 4)),
    # ResNets under a detector are shallower and narrower than the same under a classifier.
    "fpn": lambda fields: dict(width=8, top=fields["top"].partition("_")[0], backbone=dict(depth=18, width=8)),
    "retinanet": lambda fields: dict(depth=1, sizes=(12, 16, 24, 32, 48)),
    "fcos": lambda fields: dict(depth=1, groups=2),
    "ssd": lambda fields: dict(backbone=dict(width=8), scales=(0.3, 0.4, 0.5, 0.65)),
    "yolo_v3": lambda fields: dict(width=8, sets=(1, 1, 1), anchors=(((6, 9),), ((8, 14),), ((12, 17),))),
    "faster_rcnn": lambda fields: dict(hidden=8, sizes=((6,), (12,), (16,), (24,), (32,))),
    "detr": lambda fields: dict(
        **dict(queries=8, width=8, heads=2, hidden=8, encoder=1, decoder=2),
        backbone=dict(depth=18, width=8, stem="cifar"),
    ),
    "made": narrow("hidden", 8),
    "pixelcnn": lambda fields: dict(width=3, depth=1, first=3, hidden=4),
    "gated_pixelcnn": lambda fields: dict(
        width=3, depth=2, first=3, hidden=4, outputs=8 if fields["embedding"] else fields["outputs"]
    ),
    "pixelcnn_pp": lambda fields: dict(width=2, blocks=1, mixtures=2),
    "igpt": lambda fields: dict(width=8, depth=1, heads=2),
    # An affine one is that of one hidden layer here: the affine one has a test of its own.
    "autoencoder": lambda fields: dict(hidden=(8,), widths=(2, 3)[: len(fields["widths"])], latent=2),
    "pixelrnn": lambda fields: dict(variant="diagonal", width=2, depth=1, first=3, hidden=4),
    "mae": lambda fields: dict(
        patch=2, width=8, depth=1, heads=2, mlp=8, decoder_width=8, decoder_depth=1, decoder_heads=2
    ),
    "glow": lambda fields: dict(levels=2, steps=1, hidden=3),
    "cvae": lambda fields: dict(hidden=(8,), dim=2),
    "vqvae": lambda fields: {
        **dict(width=4, depth=1, inner=2, dim=3, entries=8),
        **({"weights": ""} if "weights" in fields else {}),  # where it is frozen: those that it starts with
    },
    "drn": lambda fields: dict(width=2, blocks=(1,) * (4 if fields["variant"].startswith("A") else 8)),
    "fcn": lambda fields: dict(width=2, hidden=4),
    "fcn_dilated": lambda fields: {},
    "deeplab_v1": lambda fields: dict(hidden=4),
    "deeplab_v2": lambda fields: dict(hidden=4),
    "deeplab_v3": lambda fields: dict(width=4),
    "deeplab_v3plus": lambda fields: dict(width=4, low_width=4),
    "pspnet": lambda fields: dict(width=4),
    "segnet": lambda fields: dict(width=2, blocks=(1, 2)),
    "deconvnet": lambda fields: dict(width=2, blocks=(1, 2), hidden=4),
    "segformer": lambda fields: dict(
        widths=(4, 8), depths=(1, 1), decoder=4, heads=(1, 2), reductions=(2, 1), patches=(5, 3), strides=(2, 2)
    ),
    "attention_unet": lambda fields: dict(width=2, depth=2),
    "unet_plus_plus": lambda fields: dict(width=2, depth=2),
    "residual_unet": lambda fields: dict(width=2, depth=2),
    "transunet": lambda fields: dict(width=8, depth=1, heads=2, mlp=8, grid=2, bridge=4, decoder=(4, 4, 4)),
    "semantic_fpn": lambda fields: dict(width=4, groups=2),
    "dit": lambda fields: dict(variant="S", width=8, depth=1, heads=2),
    "uvit": lambda fields: dict(variant="S", width=8, depth=3, heads=2),
    "ncsnpp": lambda fields: dict(width=8, multipliers=(1, 1), blocks=1, attention=(4,)),
    "resnet_gan_generator": lambda fields: dict(
        width=4, latent=4, blocks=1, attention=(8,) if fields["attention"] else ()
    ),
    "resnet_gan_discriminator": lambda fields: dict(
        width=4, blocks=2, halvings=1, attention=(4,) if fields["attention"] else ()
    ),
    "pix2pix_generator": lambda fields: dict(width=2, depth=3),
    "pix2pix_discriminator": lambda fields: dict(width=2, layers=1),
    "stylegan2_generator": lambda fields: dict(width=2, latent=4, blocks=1, mapping=1),
    "stylegan2_discriminator": lambda fields: dict(width=2, blocks=1),
}

# task -> what its numbers cost nothing with.
TASKS: dict[str, dict[str, Any]] = {
    "autoencoder": dict(sparsity=0.1),
    "autoregressive": {},
    "classification": {},
    "compound_segmentation": {},
    "consistency": {},
    "captioning": {},
    "cvae": dict(quadrants=1, importance_samples=2),
    "detection": dict(max_detections=10),
    "diffusion": dict(sampling_steps=2, bound_terms=2),
    "flow": {},
    "gan": {},
    "mae": {},
    "mean_flow": {},
    "metric_learning": {},
    "restoration": {},
    "segmentation": {},
    "texture": {},
    "translation": dict(history=4),
    "vae": dict(importance_samples=2),
    "retinanet": dict(max_detections=10, candidates=20),
    "fcos": dict(max_detections=10, candidates=20),
    "ssd": dict(max_detections=10, candidates=20),
    "yolo_v3": dict(max_detections=10, candidates=20),
    "faster_rcnn": dict(
        **dict(max_detections=10, anchors=32, regions=16),
        **dict.fromkeys(("candidates", "proposals", "test_candidates", "test_proposals"), 8),
    ),
    "detr": dict(max_detections=5),
    "vq": dict(restart=0.1),
    "pix2pix": {},
    "stylegan": {},
}

# What a network needs of an image: the least side that gives it every stage that the page's images give it.
SIDES = {
    "lenet5": 32,
    "alexnet": 67,
    "vgg": 32,
    "overfeat": 231,
    "googlenet": 32,
    "resnet": 32,
    "dcgan_generator": 16,
    "se_resnet": 32,
    "resnet_v2": 32,
    "inception_resnet": 75,
    "botnet": 32,
    "lecun98": 28,
    "squeezenet": 21,
    "darknet": 32,
    "xception": 16,
    "mobilenet_v1": 32,
    "mobilenet_v3": 32,
    "efficientnet": 32,
    "shufflenet_v2": 32,
    "regnet": 32,
}

# TFDS set -> channels of its images.
TFDS = {"mnist": 1, "fashion_mnist": 1, "cifar10": 3, "imagenet2012": 3}


def _tfds(page: ConfigDict, argument: str, folder: pathlib.Path) -> dict[str, Any]:
    """Noisy gratings of the set's channels."""
    return dict(
        name="synthetic",
        num_examples=TRAIN,
        image_size=_side(page),
        channels=_line(TFDS, argument, "TFDS"),
        **_splits(page, "train", "train", "test"),
    )


def _digits(page: ConfigDict, argument: str, folder: pathlib.Path) -> dict[str, Any]:
    return dict(size=_side(page), **_splits(page, "train", "train", "test"))


def _image(page: ConfigDict, argument: str, folder: pathlib.Path) -> dict[str, Any]:
    return dict(image_size=16)


def _gaussians(page: ConfigDict, argument: str, folder: pathlib.Path) -> dict[str, Any]:
    return dict(num_examples=TRAIN, **_splits(page, "train", "train", "test"))


def _scenes(page: ConfigDict, argument: str, folder: pathlib.Path) -> dict[str, Any]:
    return dict(size=32, num_train=TRAIN, num_validation=TEST, num_test=TEST)


def _boxes(page: ConfigDict, argument: str, folder: pathlib.Path) -> dict[str, Any]:
    """Scenes: pictures with boxes, too."""
    return dict(name="scenes", **_scenes(page, argument, folder), train="train", validation="validation", test="test")


def _binarized_mnist(page: ConfigDict, argument: str, folder: pathlib.Path) -> dict[str, Any]:
    random, path = np.random.default_rng(0), folder / "binarized_mnist.npz"
    np.savez(path, **{name: random.integers(0, 256, (TRAIN, 98), np.uint8) for name in ("train", "valid", "test")})
    return dict(name=f"binarized_mnist:{path}", **_splits(page, "train", "valid", "test"))


def _pairs(page: ConfigDict, argument: str, folder: pathlib.Path) -> dict[str, Any]:
    """Files in folders that are named as the page's: blots of every class, and of what is void."""
    data, random, root = page.data, np.random.default_rng(0), folder / argument
    split = lambda role: (data[role] or "train").partition("[")[0]
    values = [*range(len(data.classes)), *([] if data.void is None else [data.void])]
    for name in {split("train"), split("validation"), split("test")}:
        for kind, channels in ((data.images, data.channels), (data.masks, 1)):
            where = root / kind.format(split=name)
            where.mkdir(parents=True, exist_ok=True)
            for i in range(TRAIN):
                side = CROP + 4
                pixels = random.integers(0, 256, (side, side, channels)).astype(np.uint8)
                if kind == data.masks:
                    pixels = np.kron(random.choice(values, (side // 8, side // 8)), np.ones((8, 8))).astype(np.uint8)
                Image.fromarray(pixels.squeeze()).save(where / f"{i:02d}.png")
    return dict(name=f"pairs:{root}", size=(), **_splits(page, *map(split, ("train", "validation", "test"))))


def _side_by_side(page: ConfigDict, argument: str, folder: pathlib.Path) -> dict[str, Any]:
    """Files of two noisy images, in splits that are named as the page's."""
    random, root = np.random.default_rng(0), folder / argument
    for name in {page.data[role].partition("[")[0] for role in ROLES} - {""}:
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(TRAIN):
            Image.fromarray(random.integers(0, 256, (16, 32, 3)).astype(np.uint8)).save(root / name / f"{i:02d}.png")
    return dict(name=f"side_by_side:{root}", size=(16, 16), **_splits(page, page.data.train, "", page.data.test))


# kind of source -> (page, argument, folder to write in) -> keys of `data` that make the page read the stand-in.
SOURCES: dict[str, Callable[[ConfigDict, str, pathlib.Path], dict[str, Any]]] = {
    "binarized_mnist": _binarized_mnist,
    "coco": _boxes,
    "digits": _digits,
    "gaussians": _gaussians,
    "image": _image,
    "pairs": _pairs,
    "scenes": _scenes,
    "tfds": _tfds,
    "tinted_digits": _digits,
    "voc": _boxes,
    "side_by_side": _side_by_side,
}

TRAINING = dict(
    batch_size=16,
    evaluate_batch_size=TEST,
    accumulate=1,
    steps_per_call=1,
    log_every=1,
    evaluate_every=2,
    checkpoint_every=2,
    judge="",
    init_from="",
)


def few_blocks(monkeypatch) -> None:
    """Fewer blocks in the networks whose depth is a table: one for each stage, or one of each kind."""
    for depth in DEPTHS:
        monkeypatch.setitem(DEPTHS, depth, (1,) * len(DEPTHS[depth]))
    monkeypatch.setattr(efficientnet, "STAGES", efficientnet.STAGES[:3])
    small = mobilenet_v3.VARIANTS["small"]
    monkeypatch.setitem(mobilenet_v3.VARIANTS, "small", tuple(stage[:1] for stage in small[:3]))


def tiny(name: str, folder: pathlib.Path, **train: Any) -> ConfigDict:
    """The page called `name`, tiny.

    Args:
      folder: receives the files that replace the page's data.
      train: keys of the section `train`.

    Raises:
      MissingLine: a table has no line for what the page names.
    """
    page = load(name)
    kind, _, argument = page.data.name.partition(":")
    data = _line(SOURCES, kind, "SOURCES")(page, argument, folder)
    with page.unlocked():
        if data.get("name", page.data.name).partition(":")[0] != kind:  # its options are others
            page.data = ConfigDict({**_plain(page), **_defaults(data["name"])})
        for key, value in data.items():
            page.data[key] = value
        page.data.num_classes = None
        page.data.augment = tuple(re.sub(r"random_crop\(\d+\)", f"random_crop({CROP})", a) for a in page.data.augment)
        for network, fields in (*_networks(page), *((x.name, x) for x in page.frozen.values())):
            fields.update(_line(NETWORKS, network, "NETWORKS")(fields))
        page.task.update(_line(TASKS, page.task.name, "TASKS"))
        if page.data.sampler.startswith("pk("):
            page.data.sampler = "pk(4, 4)"
        page.train.update({**TRAINING, "steps": 2, **train})
        if kind == "image":  # one picture, on each of the devices
            page.train.update(dict(evaluate_batch_size=8))
        page.track.to = ()
        for schedule in [page.schedule] if "name" in page.schedule else page.schedule.values():
            if "warmup_steps" in schedule:
                schedule.warmup_steps = 1
    return page.lock()


@functools.cache
def programs(folder: pathlib.Path) -> dict[str, list[str]]:
    """The first page of each program -> all pages that are compiled to the same program but for numbers.

    A page with a `MissingLine` has no program.
    """
    found: dict[str, list[str]] = {}
    for name in pages():
        with contextlib.suppress(MissingLine):
            found.setdefault(program(tiny(name, folder)), []).append(name)
    return {names[0]: names for names in found.values()}


def program(page: ConfigDict) -> str:
    """What the compiled program of a page depends on: pages of one text share it.

    The augmentation, the schedule and the optimizer's options are left out: they have tests of their own. So have the
    processes of diffusion and their samplers.
    """
    sections = {key: value for key, value in canonical(page).items() if key not in ("paper", "track")}
    sections["data"] = {k: v for k, v in sections["data"].items() if k not in ("augment", *ROLES)}
    del sections["schedule"]
    if sections["task"]["name"] == "diffusion":
        of_process = ("schedule", "target", "sampler", "spacing", "sampling_steps")
        sections["task"] = {k: v for k, v in sections["task"].items() if k not in of_process}
    optimizer = sections["optimizer"]
    sections["optimizer"] = [part["name"] for part in ([optimizer] if "name" in optimizer else optimizer.values())]
    return repr(_without_numbers(sections))


def networks(name: str) -> tuple:
    """The networks of a page, also those inside others, each with the names in its fields: variant, norm, padding."""
    return tuple(
        (network, *(x for x in fields.values() if isinstance(x, str))) for network, fields in _networks(load(name))
    )


def _networks(page) -> list[tuple[str, ConfigDict]]:
    found, left = [], [page.model] if "name" in page.model else list(page.model.values())
    while left:
        fields = left.pop(0)
        found.append((fields.name, fields))
        left += [value for value in fields.values() if is_component(value)]
    return found


def _without_numbers(tree):
    """A rate or weight of 0 leaves something out; other floats are arguments of the program."""
    if isinstance(tree, dict):
        return {key: _without_numbers(value) for key, value in tree.items()}
    return bool(tree) if isinstance(tree, float) else tree


def _line(table, key, name):
    if key not in table:
        raise MissingLine(f"add a line {key!r} to {name} in tests/experiments/tiny.py: what makes it tiny")
    return table[key]


def _side(page) -> int:
    return max(SIDES.get(name, 8) for name, _ in _networks(page))


def _splits(page, train: str, validation: str, test: str) -> dict[str, str]:
    has = bool(page.data.validation)
    return dict(train=f"{train}[:{TRAIN}]", validation=f"{validation}[:{TEST}]" if has else "", test=f"{test}[:{TEST}]")


def _plain(page) -> dict[str, Any]:
    return {key: page.data[key] for key in PLAIN["data"] if key != "num_classes"} | {"num_classes": None}


def _defaults(name) -> dict[str, Any]:
    return {"name": name, **find("data", name).defaults()}
