"""Pictures of a sweep: its trials over the keys, and how much each key matters."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from training.pictures import BLUES, COLOURS, GREY, INK, grid, plain_axes, plain_text


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
    figure, (ax,) = grid(1, 1, width=max(1.9 * len(columns), 5), height=3.6)
    heights = np.array([_heights(values, logarithmic)[0] for values, _, logarithmic in columns])
    rank = np.argsort(np.argsort(heights[-1] if goal == "max" else -heights[-1])) / max(len(rows) - 1, 1)
    for i in np.argsort(rank):  # the best on top
        best, pruned = rank[i] == 1, rows[i]["state"] == "pruned"
        colour = COLOURS[1] if best else BLUES(0.25 + 0.65 * rank[i])
        ax.plot(heights[:, i], color=colour, lw=2.2 if best else 1.0, ls=":" if pruned else "-", alpha=0.9)
    for x, (values, name, logarithmic) in enumerate(columns):
        ax.plot([x, x], [0, 1], color=GREY, lw=0.8)
        for height, text in _heights(values, logarithmic)[1]:
            ax.annotate(
                plain_text(text),
                (x, height),
                (4, 0),
                textcoords="offset points",
                fontsize=7.5,
                color=INK,
                va="center",
            )
        ax.annotate(
            plain_text(name.replace(".", "\n", 1)), (x, 1.06), fontsize=8.5, color=INK, ha="center", va="bottom"
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
    figure, axes = grid(len(keys), min(3, len(keys)), width=4.0, height=2.9)
    for ax, key in zip(axes, keys, strict=True):
        chosen = [row["params"][key] for row in rows]
        if any(isinstance(x, str) for x in chosen):
            names = sorted(set(map(str, chosen)))
            chosen = [names.index(str(x)) for x in chosen]
            ax.set_xticks(range(len(names)), map(plain_text, names))
        elif key in log:
            ax.set_xscale("log")
        x = np.array(chosen, float)
        ax.scatter(x[~pruned], values[~pruned], s=18, color=COLOURS[0], alpha=0.75, lw=0)
        ax.scatter(x[pruned], values[pruned], s=18, facecolor="none", edgecolor=GREY)
        ax.scatter(x[best], values[best], s=46, color=COLOURS[1], zorder=3)
        ax.set_title(plain_text(key), fontsize=10, color=INK, loc="left")
        ax.set_ylabel(plain_text(metric), fontsize=8, color=INK)
        plain_axes(ax)
    return figure


def importance(shares: Mapping[str, float]) -> Figure:
    """How much of the difference between trials each key accounts for; key -> share in [0, 1]."""
    figure, (ax,) = grid(1, 1, width=5.2, height=0.5 + 0.42 * len(shares))
    keys = sorted(shares, key=shares.get)
    ax.barh(range(len(keys)), [shares[key] for key in keys], color=COLOURS[0], height=0.6)
    ax.set_yticks(range(len(keys)), map(plain_text, keys))
    for y, key in enumerate(keys):
        ax.annotate(f"{shares[key]:.0%}", (shares[key], y), (4, 0), textcoords="offset points", fontsize=8, va="center")
    ax.set_xlim(0, 1.1 * max(*shares.values(), 0.1))
    plain_axes(ax)
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
