"""Corner pooling: a corner sees the sides of its box (Law & Deng 2018, section 3.3)."""

import jax


def corner_pool(rows, columns, corner: str):
    """The sum of the largest value to one side of each cell, and of that above or below it.

    At a "top_left" corner it is the largest of `rows` from there to the right, and of `columns` from there down; at a
    "bottom_right" one to the left, and up. Equations 6 and 7.

    rows, columns: [B, H, W, C] -> [B, H, W, C].
    """
    reverse = {"top_left": True, "bottom_right": False}[corner]
    return jax.lax.cummax(rows, 2, reverse) + jax.lax.cummax(columns, 1, reverse)
