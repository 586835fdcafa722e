"""Two sets without pairs that need no download: white digits on black, and ink on tinted paper."""

import numpy as np

from data.digits import digits
from data.errors import DataError
from data.fields import Field
from data.source import ArraySource, Info, statistics

PAPER, INK = (245, 222, 160), (30, 40, 140)  # RGB


def tinted_digits(argument: str, split: str, size: int = 32, split_seed: int = 0) -> ArraySource:
    """The splits of `digits`, of which every other example is in the second set: no digit is in both.

    image [B, size, size, 3] uint8 and, of the group "other", other [B, size, size, 3] uint8. Train with
    `data.sampler="unpaired"`.
    """
    if argument:
        raise DataError(f"data set 'tinted_digits' takes no argument, found {argument!r}")
    grey = digits("", split, size, split_seed).arrays["image"]
    if len(grey) < 2:
        raise DataError(f"data set 'tinted_digits' needs two digits, and {split!r} has {len(grey)}")
    white, share = np.repeat(grey[::2], 3, axis=-1), grey[1::2] / 255
    tinted = np.round(np.array(PAPER) * (1 - share) + np.array(INK) * share).astype(np.uint8)
    fields = {
        "image": Field("image", (size, size, 3), "uint8"),
        "other": Field("image", (size, size, 3), "uint8", group="other"),
    }
    info = Info(fields, *statistics(np.concatenate([white, tinted])))
    return ArraySource({"image": white}, info, {"other": ArraySource({"other": tinted}, info)})
