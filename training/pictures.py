"""Pictures of a run, drawn from its numbers: curves, the confusion matrix, the worst mistakes.

Each function returns a matplotlib Figure that belongs to nobody else: there is no global state, so this works in a
thread, in a notebook and without a display.
"""

import contextlib
import itertools
import math
import pathlib
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from training.metrics.readings import STEP, Reading

INK, GREY, GRID = "#1f2933", "#7b8794", "#e4e7eb"
COLOURS = ("#1f6fb4", "#e4572e", "#2a9d5c", "#8e5bb5", "#c9930a", "#17909b", "#d1478c", "#6b7280")
BLUES = LinearSegmentedColormap.from_list("fovea", ["#ffffff", "#cfe3f5", "#5aa0d8", "#1f6fb4", "#0b3a66"])
_REDS = LinearSegmentedColormap.from_list("fovea_errors", ["#ffffff", "#fbd5c8", "#ee8a6a", "#c8401c", "#7d1f08"])

_NO_READING = Reading()


def curves(records: Sequence[Mapping], readings: Mapping[str, Reading] = types.MappingProxyType({})) -> Figure:
    """Every number that training or an evaluation recorded, against the step.

    The numbers' readings give the panels, their lines and their axes. The numbers of two players are two lines.

    Args:
      records: dictionaries with `step` and numbers keyed "train/loss", "validation/accuracy", … Sets that are evaluated
        only once have no curve.
      readings: of the evaluation's numbers by name, without the set; those of the train step are known.
    """
    known = {**STEP, **readings}
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    units, logarithmic, usual = {}, set(), set()
    for record in records:
        for key, value in record.items():
            split, _, rest = key.partition("/")
            *player, name = rest.split("/")
            reading = known.get(name, _NO_READING)
            panel = name if reading.panel == "" else reading.panel
            drawn = isinstance(value, int | float) and math.isfinite(value)
            if not panel or not drawn or split in ("time", "memory"):
                continue
            names = [split, reading.line] if split != "train" else [reading.line or split]
            line = " ".join(filter(None, [*player, *names]))
            shown = 100 * value if reading.unit == "%" else value
            panels.setdefault(panel, {}).setdefault(line, []).append((record["step"], shown))
            units.setdefault(panel, set()).add(reading.unit)
            if reading.scale == "log":
                logarithmic.add(panel)
            if split in ("train", "validation"):
                usual.add((panel, line))
    panels = {
        name: kept
        for name in sorted(panels, key=_rank)
        if (kept := {k: v for k, v in panels[name].items() if (name, k) in usual or len(v) > 1})
    }
    figure, axes = grid(len(panels), 2 if len(panels) in (2, 4) else min(3, len(panels)), width=4.4, height=3.1)
    for ax, (name, lines) in zip(axes, panels.items(), strict=True):
        unit = units[name].pop() if len(units[name]) == 1 else ""
        for i, (label, points) in enumerate(sorted(lines.items())):
            x, y = np.array(points, float).T
            colour = COLOURS[1 if label == "validation" else i % len(COLOURS)]
            sparse = len(x) <= 40 and "validation" in label
            ax.plot(x, y, color=colour, lw=1.6, marker="o" if sparse else None, ms=3, label=plain_text(label))
        values = np.array([y for points in lines.values() for _, y in points])
        if name in logarithmic and values.min() > 0 and values.max() > 10 * values.min():
            ax.set_yscale("log")
        title = plain_text(", ".join(filter(None, (name.replace("_", " "), unit))))
        ax.set_title(title, fontsize=11, color=INK, loc="left")
        ax.set_xlabel("step", fontsize=9, color=INK)
        ax.set_xlim(left=0)
        if list(lines) != ["train"]:
            ax.legend(fontsize=8, frameon=False)
        plain_axes(ax)
    return figure


def trends(keys: Sequence[str], values: Sequence[Sequence[str]], metrics: Mapping[str, Sequence[float]]) -> Figure:
    """Each metric against the first of `keys`, a line for each combination of the others.

    Args:
      keys: names of what was chosen.
      values: [N][len(keys)], what was chosen, as text.
      metrics: name -> [N].
    """
    figure, axes = grid(len(metrics), min(3, max(len(metrics), 1)), width=4.0, height=3.0)
    try:
        ticks = [float(first) for first, *_ in values]
    except ValueError:
        ticks = [list(dict.fromkeys(first for first, *_ in values)).index(first) for first, *_ in values]
    lines = {", ".join(others): [] for _, *others in values}
    for i, (_, *others) in enumerate(values):
        lines[", ".join(others)].append(i)
    for ax, (name, measured) in zip(axes, metrics.items(), strict=True):
        for colour, (label, places) in zip(itertools.cycle(COLOURS), lines.items()):
            x, y = [ticks[i] for i in places], [measured[i] for i in places]
            ax.plot(x, y, color=colour, lw=1.6, marker="o", ms=4, label=plain_text(label))
        if min(ticks) > 0 and max(ticks) > 10 * min(ticks):
            ax.set_xscale("log")
        if min(measured) > 0 and max(measured) > 10 * min(measured):
            ax.set_yscale("log")
        ax.set_xticks(ticks, [plain_text(first) for first, *_ in values])
        ax.minorticks_off()
        ax.set_title(plain_text(name.replace("_", " ")), fontsize=11, color=INK, loc="left")
        ax.set_xlabel(plain_text(keys[0].rpartition(".")[2].replace("_", " ")), fontsize=9, color=INK)
        if len(lines) > 1:
            ax.legend(fontsize=8, frameon=False)
        plain_axes(ax)
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
    figure, (ax,) = grid(1, 1, width=side * 1.1, height=side)
    most = max(float(np.nanmax(wrong, initial=0.0)), 1e-9)
    ax.imshow(right, cmap=BLUES, vmin=0, vmax=1.15, interpolation="nearest")
    image = ax.imshow(wrong, cmap=_REDS, vmin=0, vmax=most, interpolation="nearest")
    bar = figure.colorbar(image, ax=ax, fraction=0.04, pad=0.03, format=lambda x, _: f"{100 * x:.3g} %")
    bar.set_label("mistaken, of the true class", fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, length=0)
    bar.outline.set_visible(False)
    if k <= 30:  # beyond, neither names nor counts can be read
        ax.set_xticks(range(k), [_short(c) for c in classes], fontsize=8, rotation=0 if _narrow(classes) else 90)
        ax.set_yticks(range(k), [_short(c) for c in classes], fontsize=8)
        for i, j in zip(*np.nonzero(matrix), strict=True):
            dark = share[i, j] > 0.4 if i == j else share[i, j] > 0.6 * most
            ink, size = "white" if dark else INK, 8 if k <= 15 else 6
            ax.text(j, i, f"{matrix[i, j]:.0f}", ha="center", va="center", fontsize=size, color=ink)
        ax.set_xticks(np.arange(k + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(k + 1) - 0.5, minor=True)
        ax.grid(which="minor", color=GRID, lw=0.8)
    ax.set_xlabel("predicted", fontsize=10, color=INK)
    ax.set_ylabel("true", fontsize=10, color=INK)
    total = max(matrix.sum(), 1)
    ax.set_title(
        f"{np.trace(matrix):,.0f} of {total:,.0f} right ({100 * np.trace(matrix) / total:.2f} %)",
        fontsize=11,
        color=INK,
        loc="left",
    )
    ax.tick_params(which="both", length=0, colors=INK)
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
    figure, axes = grid(len(images), min(6, len(images)), width=1.75, height=2.2)
    for ax, image, t, p, q in zip(axes, images, true, predicted, probability, strict=True):
        ax.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
        ax.set_title(f"{_short(classes[p])}, {100 * q:.0f} %", fontsize=9, color=COLOURS[1], loc="left", pad=3)
        ax.set_xlabel(f"true: {_short(classes[t])}", fontsize=9, color=INK, loc="left", labelpad=3)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_color(GRID)
    return figure


def examples(images: np.ndarray, labels: Sequence[str], columns: int = 8) -> Figure:
    """A grid of images [N, H, W, C] in [0, 1], C = 1 or 3, with a label above each."""
    figure, axes = grid(len(images), min(columns, len(images)), width=1.3, height=1.5)
    for ax, image, label in zip(axes, images, labels, strict=True):
        ax.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=1)
        ax.set_title(plain_text(label), fontsize=9, color=INK, loc="left", pad=3)
        ax.set_axis_off()
    return figure


def save(figure: Figure | np.ndarray, path: pathlib.Path) -> None:
    """Writes a figure, or an image [H, W, 3] uint8, as a file of the kind that the path's suffix names."""
    if isinstance(figure, np.ndarray):
        Image.fromarray(figure).save(path)
        return
    with _any_letters():
        figure.savefig(path, dpi=130, facecolor="white")


def pixels(figure: Figure | np.ndarray) -> np.ndarray:
    """The picture as an image [H, W, 3] uint8."""
    if isinstance(figure, np.ndarray):
        return figure
    canvas = FigureCanvasAgg(figure)
    with _any_letters():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@contextlib.contextmanager
def _any_letters() -> Iterator[None]:
    """No warnings of names: letters that the font lacks become boxes, and a long name takes room from the axes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph|constrained_layout")
        yield


def _rank(panel):
    """The order of the panels: first what everybody looks at."""
    order = ("loss", "accuracy", "learning_rate", "norms")
    return (order.index(panel) if panel in order else 2.5, panel)


def grid(count, columns, width, height):
    """A figure and its `count` panels, in rows of `columns`."""
    rows, columns = max(1, math.ceil(count / max(1, columns))), max(1, columns)
    figure = Figure(figsize=(max(columns * width, 4), max(rows * height, 2.4)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[count:]:
        ax.remove()
    return figure, axes[:count]


def plain_axes(ax):
    """A light grid behind the data, and no frame on the right and above."""
    ax.grid(color=GRID, lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(labelsize=8, colors=INK, length=3)


def _short(name):
    return plain_text(name if len(name) <= 14 else name[:13] + "…")


def plain_text(name: str) -> str:
    """A name as matplotlib shows it letter by letter: dollars make no formula, and no line begins with "_".

    Bytes of a file's name that are not UTF-8 become "?".
    """
    shown = name.encode("utf-8", "replace").decode().replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown  # a legend leaves such lines out


def _narrow(classes):
    return all(len(c) <= 3 for c in classes)
