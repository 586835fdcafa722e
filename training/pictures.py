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
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from training.metrics.readings import STEP, Reading

_INK, _GREY, _GRID = "#1f2933", "#7b8794", "#e4e7eb"
_COLOURS = ("#1f6fb4", "#e4572e", "#2a9d5c", "#8e5bb5", "#c9930a", "#17909b", "#d1478c", "#6b7280")
_BLUES = LinearSegmentedColormap.from_list("fovea", ["#ffffff", "#cfe3f5", "#5aa0d8", "#1f6fb4", "#0b3a66"])
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
    figure, axes = _grid(len(panels), 2 if len(panels) in (2, 4) else min(3, len(panels)), width=4.4, height=3.1)
    for ax, (name, lines) in zip(axes, panels.items(), strict=True):
        unit = units[name].pop() if len(units[name]) == 1 else ""
        for i, (label, points) in enumerate(sorted(lines.items())):
            x, y = np.array(points, float).T
            colour = _COLOURS[1 if label == "validation" else i % len(_COLOURS)]
            sparse = len(x) <= 40 and "validation" in label
            ax.plot(x, y, color=colour, lw=1.6, marker="o" if sparse else None, ms=3, label=_plain_text(label))
        values = np.array([y for points in lines.values() for _, y in points])
        if name in logarithmic and values.min() > 0 and values.max() > 10 * values.min():
            ax.set_yscale("log")
        title = _plain_text(", ".join(filter(None, (name.replace("_", " "), unit))))
        ax.set_title(title, fontsize=11, color=_INK, loc="left")
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
            ax.plot(x, y, color=colour, lw=1.6, marker="o", ms=4, label=_plain_text(label))
        if min(ticks) > 0 and max(ticks) > 10 * min(ticks):
            ax.set_xscale("log")
        if min(measured) > 0 and max(measured) > 10 * min(measured):
            ax.set_yscale("log")
        ax.set_xticks(ticks, [_plain_text(first) for first, *_ in values])
        ax.minorticks_off()
        ax.set_title(_plain_text(name.replace("_", " ")), fontsize=11, color=_INK, loc="left")
        ax.set_xlabel(_plain_text(keys[0].rpartition(".")[2].replace("_", " ")), fontsize=9, color=_INK)
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
        ax.set_title(_plain_text(label), fontsize=9, color=_INK, loc="left", pad=3)
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
    return _plain_text(name if len(name) <= 14 else name[:13] + "…")


def _plain_text(name: str) -> str:
    """A name as matplotlib shows it letter by letter: dollars make no formula, and no line begins with "_".

    Bytes of a file's name that are not UTF-8 become "?".
    """
    shown = name.encode("utf-8", "replace").decode().replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown  # a legend leaves such lines out


def _narrow(classes):
    return all(len(c) <= 3 for c in classes)


def parallel(trials: Sequence[Mapping], metric: str, goal: str, log: Collection[str] = ()) -> Figure:
    """Parallel coordinates of the trials of a sweep: an axis per key, the last the metric, a line per trial.

    Args:
      trials: dictionaries with `params`, key -> number or text, `state` and `value`, None where there is none.
      log: keys whose axis is logarithmic.
    """
    rows = [row for row in trials if row["value"] is not None]
    keys = list(rows[0]["params"])
    columns = [([row["params"][key] for row in rows], key, key in log) for key in keys]
    columns.append(([row["value"] for row in rows], metric, False))
    figure, (ax,) = _grid(1, 1, width=max(1.9 * len(columns), 5), height=3.6)
    heights = np.array([_heights(values, logarithmic)[0] for values, _, logarithmic in columns])
    rank = np.argsort(np.argsort(heights[-1] if goal == "max" else -heights[-1])) / max(len(rows) - 1, 1)
    for i in np.argsort(rank):  # the best on top
        best, pruned = rank[i] == 1, rows[i]["state"] == "pruned"
        colour = _COLOURS[1] if best else _BLUES(0.25 + 0.65 * rank[i])
        ax.plot(heights[:, i], color=colour, lw=2.2 if best else 1.0, ls=":" if pruned else "-", alpha=0.9)
    for x, (values, name, logarithmic) in enumerate(columns):
        ax.plot([x, x], [0, 1], color=_GREY, lw=0.8)
        for height, text in _heights(values, logarithmic)[1]:
            ax.annotate(
                _plain_text(text),
                (x, height),
                (4, 0),
                textcoords="offset points",
                fontsize=7.5,
                color=_INK,
                va="center",
            )
        ax.annotate(
            _plain_text(name.replace(".", "\n", 1)), (x, 1.06), fontsize=8.5, color=_INK, ha="center", va="bottom"
        )
    ax.set_xlim(-0.1, len(columns) - 0.6)
    ax.set_ylim(-0.04, 1.28)
    ax.axis("off")
    return figure


def slices(trials: Sequence[Mapping], metric: str, goal: str, log: Collection[str] = ()) -> Figure:
    """The metric of each trial against each key; arguments as those of `parallel`."""
    rows = [row for row in trials if row["value"] is not None]
    values = np.array([row["value"] for row in rows])
    best = (np.argmax if goal == "max" else np.argmin)(values)
    pruned = np.array([row["state"] == "pruned" for row in rows])
    keys = list(rows[0]["params"])
    figure, axes = _grid(len(keys), min(3, len(keys)), width=4.0, height=2.9)
    for ax, key in zip(axes, keys, strict=True):
        chosen = [row["params"][key] for row in rows]
        if any(isinstance(x, str) for x in chosen):
            names = sorted(set(map(str, chosen)))
            chosen = [names.index(str(x)) for x in chosen]
            ax.set_xticks(range(len(names)), map(_plain_text, names))
        elif key in log:
            ax.set_xscale("log")
        x = np.array(chosen, float)
        ax.scatter(x[~pruned], values[~pruned], s=18, color=_COLOURS[0], alpha=0.75, lw=0)
        ax.scatter(x[pruned], values[pruned], s=18, facecolor="none", edgecolor=_GREY)
        ax.scatter(x[best], values[best], s=46, color=_COLOURS[1], zorder=3)
        ax.set_title(_plain_text(key), fontsize=10, color=_INK, loc="left")
        ax.set_ylabel(_plain_text(metric), fontsize=8, color=_INK)
        _plain(ax)
    return figure


def importance(shares: Mapping[str, float]) -> Figure:
    """How much of the difference between trials each key accounts for; key -> share in [0, 1]."""
    figure, (ax,) = _grid(1, 1, width=5.2, height=0.5 + 0.42 * len(shares))
    keys = sorted(shares, key=shares.get)
    ax.barh(range(len(keys)), [shares[key] for key in keys], color=_COLOURS[0], height=0.6)
    ax.set_yticks(range(len(keys)), map(_plain_text, keys))
    for y, key in enumerate(keys):
        ax.annotate(f"{shares[key]:.0%}", (shares[key], y), (4, 0), textcoords="offset points", fontsize=8, va="center")
    ax.set_xlim(0, 1.1 * max(*shares.values(), 0.1))
    _plain(ax)
    return figure


def _heights(values, logarithmic):
    """Places in [0, 1] of values on an axis, and its labels, [(place, text)]."""
    if any(isinstance(value, str) for value in values):
        names = sorted(set(map(str, values)))
        places = np.linspace(0, 1, len(names)) if len(names) > 1 else np.array([0.5])
        return [places[names.index(str(value))] for value in values], list(zip(places, names, strict=True))
    x = np.log(np.array(values, float)) if logarithmic else np.array(values, float)
    low, high = x.min(), x.max()
    back = np.exp if logarithmic else np.asarray
    labels = [(place, f"{back(low + place * (high - low)):.3g}") for place in (0.0, 0.5, 1.0)]
    return ((x - low) / (high - low) if high > low else np.full(len(x), 0.5)), labels if high > low else labels[1:2]
