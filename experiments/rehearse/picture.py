"""A picture of where memory goes: a bar for each alternative, a colour for each kind."""

from collections.abc import Mapping

from experiments.rehearse.verdict import Row, memory_by_kind

GIB = 2**30


def memory_picture(rows: Mapping[str, Row]):
    """A matplotlib figure: alternative -> row, each with its memory by kind.

    What has less than a hundredth of the longest bar is "other". The limit is a line where it is near the bars, and
    otherwise told at the axis. An alternative that XLA refused has a grey bar, of its peak.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.4 + 0.45 * len(rows)), layout="constrained")
    ax = figure.add_subplot()
    longest = max(row["peak"] for row in rows.values())
    found = {name: memory_by_kind(row) or {"refused by XLA": row["peak"]} for name, row in rows.items()}
    large = [kind for one in found.values() for kind, size in one.items() if size > longest / 100]
    left = dict.fromkeys(rows, 0.0)
    for i, kind in enumerate([*dict.fromkeys(large), "other"]):
        of = lambda one, kind=kind: sum(x for k, x in one.items() if k == kind or (kind == "other" and k not in large))
        sizes = {name: of(one) / GIB for name, one in found.items()}
        colour = "0.7" if kind == "refused by XLA" else f"C{i}"
        ax.barh(list(rows), list(sizes.values()), left=list(left.values()), label=kind, color=colour, height=0.7)
        left = {name: left[name] + sizes[name] for name in rows}
    limit = next(iter(rows.values()))["limit"]
    if limit < 2 * longest:
        ax.axvline(limit / GIB, color="black", lw=1, ls="--", label="limit")
    ax.set(xlabel=f"GiB of each device; a run takes at most {limit / GIB:,.2f}", ylim=(len(rows) - 0.4, -0.6))
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
