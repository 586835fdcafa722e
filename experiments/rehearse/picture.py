"""A picture of where memory goes: a bar for each alternative, a colour for each kind."""

from collections.abc import Mapping

from experiments.rehearse.verdict import Row, memory_by_kind

GIB = 2**30


def memory_picture(rows: Mapping[str, Row]):
    """A matplotlib figure: alternative -> row, each with its memory by kind, and the limit as a line.

    An alternative that does not fit has a grey bar where only its peak is known.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.4 + 0.45 * len(rows)), layout="constrained")
    ax = figure.add_subplot()
    kinds = list(dict.fromkeys(kind for row in rows.values() for kind in memory_by_kind(row)))
    left = dict.fromkeys(rows, 0.0)
    for i, kind in enumerate(kinds):
        sizes = {name: max(memory_by_kind(row).get(kind, 0), 0) / GIB for name, row in rows.items()}
        if any(sizes.values()):
            ax.barh(list(rows), list(sizes.values()), left=list(left.values()), label=kind, color=f"C{i}", height=0.7)
        left = {name: left[name] + sizes[name] for name in rows}
    unknown = {name: row["peak"] / GIB for name, row in rows.items() if "peak" in row and "memory" not in row}
    if unknown:
        ax.barh(list(unknown), list(unknown.values()), label="refused by XLA", color="0.7", height=0.7)
    ax.axvline(next(iter(rows.values()))["limit"] / GIB, color="black", lw=1, ls="--", label="limit")
    ax.set(xlabel="GiB of each device", ylim=(len(rows) - 0.4, -0.6))
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
