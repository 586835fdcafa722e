"""Numbers of channels that suit the hardware. Sandler et al., CVPR 2018: the authors' MobileNetV2 code."""


def divisible(channels: float, by: int = 8) -> int:
    """The multiple of `by` nearest to `channels`, at least `by`; the next where that is below 90 % of `channels`."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded if rounded >= 0.9 * channels else rounded + by
