"""Channels as pixels. Shi et al., CVPR 2016, equation 4."""

from models.errors import ModelError


def pixel_shuffle(x, factor: int):
    """x: [B, H, W, C · factor²] -> [B, H · factor, W · factor, C], with the order of channels of torch.

    Channel c · factor² + i · factor + j of a pixel is channel c of its part in row i and column j.
    """
    b, height, width, channels = x.shape
    if channels % factor**2:
        raise ModelError(f"a pixel shuffle by {factor} needs a multiple of {factor**2} channels, not {channels}")
    x = x.reshape(b, height, width, channels // factor**2, factor, factor).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(b, height * factor, width * factor, channels // factor**2)


def pixel_unshuffle(x, factor: int):
    """The inverse: [B, H · factor, W · factor, C] -> [B, H, W, C · factor²]."""
    b, height, width, channels = x.shape
    if height % factor or width % factor:
        raise ModelError(f"parts of {factor}×{factor} do not tile a map of {height}×{width}")
    x = x.reshape(b, height // factor, factor, width // factor, factor, channels).transpose(0, 1, 3, 5, 2, 4)
    return x.reshape(b, height // factor, width // factor, channels * factor**2)
