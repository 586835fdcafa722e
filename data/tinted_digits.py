"""Two sets without pairs that need no download: digits in black on white, and in blue on tinted paper."""

import numpy as np

from data.digits import digits
from data.errors import DataError
from data.fields import Field
from data.source import ArraySource, Info, statistics

# RGB of paper and ink.
PLAIN = (255, 255, 255), (0, 0, 0)
TINTED = (245, 222, 160), (30, 40, 140)


def tinted_digits(argument: str, split: str, size: int = 32, split_seed: int = 0) -> ArraySource:
    """The splits of `digits`; every other example is in the second set, so that both sets differ.

    image [B, size, size, 3] uint8 and, of the group "other", other [B, size, size, 3] uint8. Train with
    `data.sampler="unpaired"`.
    """
    if argument:
        raise DataError(f"data set 'tinted_digits' takes no argument, found {argument!r}")
    grey = digits("", split, size, split_seed).arrays["image"]
    if len(grey) < 2:
        raise DataError(f"data set 'tinted_digits' needs two digits, and {split!r} has {len(grey)}")
    plain, tinted = _coloured(grey[::2], *PLAIN), _coloured(grey[1::2], *TINTED)
    fields = {
        "image": Field("image", (size, size, 3), "uint8"),
        "other": Field("image", (size, size, 3), "uint8", group="other"),
    }
    info = Info(fields, *statistics(np.concatenate([plain, tinted])))
    return ArraySource({"image": plain}, info, {"other": ArraySource({"other": tinted}, info)})


def _coloured(grey, paper, ink):
    """Paper where [N, H, W, 1] is 0 and ink where it is 255: [N, H, W, 3] uint8."""
    share = grey / 255
    return np.round(np.array(paper) * (1 - share) + np.array(ink) * share).astype(np.uint8)
