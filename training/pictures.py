"""Pictures of a run, drawn from its numbers: curves, the confusion matrix, the worst mistakes.

Each function returns a matplotlib Figure that belongs to nobody else: there is no global state, so this works in a
thread, in a notebook and without a display.
"""

import itertools
import math
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

_INK, _GREY, _GRID = "#1f2933", "#7b8794", "#e4e7eb"
_COLOURS = ("#1f6fb4", "#e4572e", "#2a9d5c", "#8e5bb5", "#c9930a", "#17909b", "#d1478c", "#6b7280")
_BLUES = LinearSegmentedColormap.from_list("fovea", ["#ffffff", "#cfe3f5", "#5aa0d8", "#1f6fb4", "#0b3a66"])
_REDS = LinearSegmentedColormap.from_list("fovea_errors", ["#ffffff", "#fbd5c8", "#ee8a6a", "#c8401c", "#7d1f08"])

# One panel for what belongs together. A panel shows "<split>/<name>" of every split that recorded it.
_LOGARITHMIC = ("loss", "norms")
_SAME = {"cross_entropy": "loss"}  # what validation calls cross_entropy, training calls loss
_REDUNDANT = ("error", "weights")


def curves(records: Sequence[Mapping]) -> Figure:
    """Every number that training or validation recorded, against the step, one panel per kind of number.

    Args:
      records: dictionaries with `step` and numbers keyed "train/loss", "validation/accuracy", …
    """
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for record in records:
        for key, value in record.items():
            split, _, name = key.partition("/")
            if split not in ("train", "validation") or not isinstance(value, int | float) or not math.isfinite(value):
                continue
            panel, line = _panel(split, name)
            if panel:
                panels.setdefault(panel, {}).setdefault(line, []).append((record["step"], value))
    panels = {name: panels[name] for name in sorted(panels, key=_rank)}
    figure, axes = _grid(len(panels), 2 if len(panels) in (2, 4) else min(3, len(panels)), width=4.4, height=3.1)
    for ax, (name, lines) in zip(axes, panels.items(), strict=True):
        for i, (label, points) in enumerate(sorted(lines.items())):
            x, y = np.array(points, float).T
            colour = _COLOURS[1 if label == "validation" else i % len(_COLOURS)]
            sparse = len(x) <= 40 and "validation" in label
            ax.plot(x, y, color=colour, lw=1.6, marker="o" if sparse else None, ms=3, label=label)
        values = np.array([y for points in lines.values() for _, y in points])
        if name.endswith(_LOGARITHMIC) and values.min() > 0 and values.max() > 10 * values.min():
            ax.set_yscale("log")
        ax.set_title(name.replace("_", " "), fontsize=11, color=_INK, loc="left")
        ax.set_xlabel("step", fontsize=9, color=_INK)
        ax.set_xlim(left=0)
        if list(lines) != ["train"]:
            ax.legend(fontsize=8, frameon=False)
        _plain(ax)
    return figure


def trends(keys: Sequence[str], values: Sequence[Sequence[str]], metrics: Mapping[str, Sequence[float]]) -> Figure:
    """Each metric against the first of `keys`, a line for each combination of the others.

    Args:
      keys: names of what was chosen.
      values: [N][len(keys)], what was chosen, as text.
      metrics: name -> [N].
    """
    figure, axes = _grid(len(metrics), min(3, max(len(metrics), 1)), width=4.0, height=3.0)
    try:
        ticks = [float(first) for first, *_ in values]
    except ValueError:
        ticks = [list(dict.fromkeys(first for first, *_ in values)).index(first) for first, *_ in values]
    lines = {", ".join(others): [] for _, *others in values}
    for i, (_, *others) in enumerate(values):
        lines[", ".join(others)].append(i)
    for ax, (name, measured) in zip(axes, metrics.items(), strict=True):
        for colour, (label, places) in zip(itertools.cycle(_COLOURS), lines.items()):
            x, y = [ticks[i] for i in places], [measured[i] for i in places]
            ax.plot(x, y, color=colour, lw=1.6, marker="o", ms=4, label=label)
        if min(ticks) > 0 and max(ticks) > 10 * min(ticks):
            ax.set_xscale("log")
        if min(measured) > 0 and max(measured) > 10 * min(measured):
            ax.set_yscale("log")
        ax.set_xticks(ticks, [first for first, *_ in values])
        ax.minorticks_off()
        ax.set_title(name.replace("_", " "), fontsize=11, color=_INK, loc="left")
        ax.set_xlabel(keys[0].rpartition(".")[2].replace("_", " "), fontsize=9, color=_INK)
        if len(lines) > 1:
            ax.legend(fontsize=8, frameon=False)
        _plain(ax)
    return figure


def confusion(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """The confusion matrix [K, K] (rows: true, columns: predicted): shares of the true class in colour, and counts.

    Right answers are blue and wrong ones red, on a scale of its own: one per cent of errors is what one looks for.
    """
    matrix, k = np.asarray(matrix, float), len(classes)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    right = np.where(np.eye(k, dtype=bool), share, np.nan)
    wrong = np.where(np.eye(k, dtype=bool), np.nan, share)
    side = min(14.0, max(5.0, 2.2 + 0.45 * k))
    figure, (ax,) = _grid(1, 1, width=side * 1.1, height=side)
    most = max(float(np.nanmax(wrong, initial=0.0)), 1e-9)
    ax.imshow(right, cmap=_BLUES, vmin=0, vmax=1.15, interpolation="nearest")
    image = ax.imshow(wrong, cmap=_REDS, vmin=0, vmax=most, interpolation="nearest")
    bar = figure.colorbar(image, ax=ax, fraction=0.04, pad=0.03, format=lambda x, _: f"{100 * x:.3g} %")
    bar.set_label("mistaken, of the true class", fontsize=9, color=_INK)
    bar.ax.tick_params(labelsize=8, length=0)
    bar.outline.set_visible(False)
    if k <= 30:  # beyond, neither names nor counts can be read
        ax.set_xticks(range(k), [_short(c) for c in classes], fontsize=8, rotation=0 if _narrow(classes) else 90)
        ax.set_yticks(range(k), [_short(c) for c in classes], fontsize=8)
        for i, j in zip(*np.nonzero(matrix), strict=True):
            dark = share[i, j] > 0.4 if i == j else share[i, j] > 0.6 * most
            ink, size = "white" if dark else _INK, 8 if k <= 15 else 6
            ax.text(j, i, f"{matrix[i, j]:.0f}", ha="center", va="center", fontsize=size, color=ink)
        ax.set_xticks(np.arange(k + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(k + 1) - 0.5, minor=True)
        ax.grid(which="minor", color=_GRID, lw=0.8)
    ax.set_xlabel("predicted", fontsize=10, color=_INK)
    ax.set_ylabel("true", fontsize=10, color=_INK)
    total = max(matrix.sum(), 1)
    ax.set_title(
        f"{np.trace(matrix):,.0f} of {total:,.0f} right ({100 * np.trace(matrix) / total:.2f} %)",
        fontsize=11,
        color=_INK,
        loc="left",
    )
    ax.tick_params(which="both", length=0, colors=_INK)
    ax.spines[:].set_visible(False)
    return figure


def mistakes(
    images: np.ndarray,
    true: np.ndarray,
    predicted: np.ndarray,
    probability: np.ndarray,
    classes: Sequence[str],
) -> Figure:
    """A grid of wrongly answered images: above each the answer given and how surely, below it the true class.

    Args:
      images: [N, H, W, C] uint8, C = 1 or 3, the worst first.
      true, predicted: [N] class numbers.
      probability: [N] of the answer given.
    """
    figure, axes = _grid(len(images), min(6, len(images)), width=1.75, height=2.2)
    for ax, image, t, p, q in zip(axes, images, true, predicted, probability, strict=True):
        ax.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
        ax.set_title(f"{_short(classes[p])}, {100 * q:.0f} %", fontsize=9, color=_COLOURS[1], loc="left", pad=3)
        ax.set_xlabel(f"true: {_short(classes[t])}", fontsize=9, color=_INK, loc="left", labelpad=3)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_color(_GRID)
    return figure


def examples(images: np.ndarray, labels: Sequence[str], columns: int = 8) -> Figure:
    """A grid of images [N, H, W, C] in [0, 1], C = 1 or 3, with a label above each."""
    figure, axes = _grid(len(images), min(columns, len(images)), width=1.3, height=1.5)
    for ax, image, label in zip(axes, images, labels, strict=True):
        ax.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=1)
        ax.set_title(label, fontsize=9, color=_INK, loc="left", pad=3)
        ax.set_axis_off()
    return figure


def save(figure: Figure, path: pathlib.Path) -> None:
    figure.savefig(path, dpi=130, facecolor="white")


def pixels(figure: Figure) -> np.ndarray:
    """The picture as an image [H, W, 3] uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _panel(split, name):
    """("loss", "train") for "train/loss"; a player's panel line is "generator train"."""
    *player, name = name.split("/")
    if name in _REDUNDANT:
        return None, None
    if name.endswith("_norm"):
        return "norms", " ".join([*player, name.removesuffix("_norm")])
    return _SAME.get(name, name), " ".join([*player, split])


def _rank(panel):
    order = ("loss", "accuracy", "learning_rate", "norms")
    return (order.index(panel) if panel in order else 2.5, panel)


def _grid(count, columns, width, height):
    """A figure and its `count` panels, in rows of `columns`."""
    rows, columns = max(1, math.ceil(count / max(1, columns))), max(1, columns)
    figure = Figure(figsize=(max(columns * width, 4), max(rows * height, 2.4)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[count:]:
        ax.remove()
    return figure, axes[:count]


def _plain(ax):
    ax.grid(color=_GRID, lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(_GREY)
    ax.tick_params(labelsize=8, colors=_INK, length=3)


def _short(name):
    return name if len(name) <= 14 else name[:13] + "…"


def _narrow(classes):
    return all(len(c) <= 3 for c in classes)
