"""`fovea rehearse`: whether a page compiles, fits and scales on accelerators that are not here."""

import argparse
import json
import pathlib
from collections.abc import Iterator

from rich.table import Table

from experiments.commands.page import add_config
from experiments.commands.values import choices, output
from experiments.errors import EXIT_FAILED, PageError, near
from experiments.pages.overrides import override
from experiments.rehearse.compiler import Compiler
from experiments.rehearse.devices import EXAMPLES, GIB, KINDS, Place, place
from experiments.rehearse.search import BATCH, alternatives, largest_batch, named, suggestions
from experiments.rehearse.verdict import Row, memory_by_kind, verdict
from experiments.terminal import drawing, progress, say, show

ALSO = ("evaluate", "sample")
MB = 1e6


def arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    on = f"{', '.join(KINDS)}, as in {EXAMPLES}"
    parser.add_argument("--on", required=True, metavar="DEVICES", help=on)
    also = "other programs of the page to compile: evaluate, sample"
    parser.add_argument("--also", type=programs, default=(), metavar="NAME,…", help=also)
    tries = "compile each value of a key, and every combination of several keys"
    parser.add_argument(
        "--try", dest="tries", action="append", type=choices, default=[], metavar="KEY=V,V,…", help=tries
    )
    largest = "search for the largest train.batch_size that fits"
    parser.add_argument("--largest-batch", action="store_true", help=largest)
    memory = "memory of each device, where it has another than its kind: a part of a GPU, or a larger board"
    parser.add_argument("--memory", type=gibibytes, default=0, metavar="GIB", help=memory)
    out = "what was found as JSON, and beside it a picture of the memory"
    parser.add_argument("--out", type=json_file, metavar="FILE", help=out)


def run(options: argparse.Namespace) -> int:
    """Prints what was found; the exit code is 1 where nothing fits."""
    where = place(options.on, options.memory)
    if options.largest_batch and options.also:
        raise PageError("--largest-batch searches with the train step alone: leave --also out")
    tried = alternatives(options.tries)
    for changes in tried:  # a misspelt key is an error before the first program is compiled
        override(options.page, changes)
    found: list[Row] = []
    with Compiler(where) as compiler:
        for changes in tried:
            search = _largest if options.largest_batch else _programs
            for row in search(options, where, changes, compiler, alone=len(tried) == 1):
                found.append(row)
                if len(tried) == 1 and not options.largest_batch:
                    _print(row, where)
                _write(options, where, found)
        trained = [row for row in found if row["program"] == "train"]
        if not options.tries and not options.largest_batch and trained[0]["fits"] is False:
            for row in _suggested(options, where, compiler):
                found.append(row)
                _write(options, where, found)
    if options.tries or options.largest_batch or len(found) > 1 + len(options.also):
        _tabulate(found)
    trained = [row for row in found if row["program"] == "train"]
    if trained[0]["fits"] is False and len(trained) > 1 and trained[-1]["fits"] and not options.tries:
        print(f"it fits with {named(trained[-1]['changes'])}")
    if options.out:
        print(f"written to {options.out}")
    return 0 if any(row["fits"] for row in trained) else EXIT_FAILED


def programs(text: str) -> tuple[str, ...]:
    """ "evaluate,sample" -> both."""
    names = tuple(text.split(","))
    for name in names:
        if name not in ALSO:
            raise argparse.ArgumentTypeError(f"unknown program {name!r}{near(name, ALSO)}")
    return names


def json_file(text: str) -> str:
    """A file to write, whose name ends in .json; the picture beside it has the same name with .png."""
    if pathlib.Path(text).suffix != ".json":
        raise argparse.ArgumentTypeError(f"{text} does not end in .json")
    return output(text)


def gibibytes(text: str) -> int:
    """A positive number of GiB -> bytes."""
    try:
        found = int(float(text) * GIB)
    except (ValueError, OverflowError):
        found = 0
    if found < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of GiB")
    return found


def _programs(options, where: Place, changes, compiler, alone: bool) -> Iterator[Row]:
    """The train step and the other programs asked for."""
    for program in ("train", *options.also):
        yield _rehearsed(options, where, changes, compiler, program, alone)


def _rehearsed(options, where: Place, changes, compiler, program="train", alone=False) -> Row:
    """A row. A page that cannot be is an error where it is `alone`, and else a row with the reason."""
    what = f"{program}, {named(changes)}" if changes else program
    with progress(what) as tell:
        try:
            result = compiler.compile(options.config, [*options.overrides, *changes], program, tell)
        except PageError as error:
            if alone:
                raise
            result = {"reason": str(error)}
    return {"program": program, "changes": changes, **verdict(result, where)}


def _largest(options, where: Place, changes, compiler, alone: bool) -> Iterator[Row]:
    """The train step at the largest batch that fits, or at the smallest where none does."""
    train = override(options.page, changes).train
    rehearse = lambda size: _rehearsed(options, where, (*changes, (BATCH, str(size))), compiler, alone=True)
    most = largest_batch(where.count * train.accumulate, train.batch_size, rehearse)
    end = f"{most.exceeds} does not" if most.exceeds else "larger ones were not tried"
    found = f"the largest batch that fits: {most.size} ({end})"
    say(found if most.size else f"not even a batch of {most.exceeds} fits")
    yield {**most.row, "largest_batch": most.size}


def _suggested(options, where: Place, compiler) -> Iterator[Row]:
    """The alternatives of a page that does not fit, up to the first one that does."""
    for changes in suggestions(options.page, where):
        row = _rehearsed(options, where, changes, compiler)
        yield row
        fixed = sum(size for kind, size in row.get("sizes", {}).items() if kind != "batch")
        if row["fits"] or (BATCH in dict(changes) and fixed > row["limit"]):  # a smaller batch leaves that as it is
            return


def _print(row: Row, where: Place) -> None:
    kind = where.kind
    print(f"\n{row['program']} on {where.count} × {kind.name} ({where.text})")
    if row["fits"] is None:
        print(f"does not compile: {row['reason']}")
        return
    if "memory" not in row:
        print(f"does not fit: XLA needs at least {row['peak'] / GIB:,.2f} GiB of {row['exceeds'] / GIB:,.2f} GiB")
        return
    print(f"compiles, in {row['seconds']:.0f} s")
    for name, size in memory_by_kind(row).items():
        if size:
            print(f"  {name:24} {size / 2**20:12,.2f} MiB of each device")
    print(f"  {'peak':24} {row['peak'] / 2**20:12,.2f} MiB {_fitting(row, where)}")
    macs = sum(row["compiled_macs"].values())
    print(f"multiply-adds              {macs:,} a call and device{_types(row['compiled_macs'])}")
    if row["macs"] and macs > 1.05 * row["macs"]:
        print(f"{'':26} of {row['macs']:,.0f} by the mathematics: some are computed twice (remat, sharding)")
    elif row["macs"] and macs < 0.95 * row["macs"]:
        print(f"{'':26} of {row['macs']:,.0f} traced, with padding of gradients and what XLA computes elementwise")
    for name, one in row["collectives"].items():
        print(f"{name:26} {one['count']:,} a call, {one['bytes'] / MB:,.2f} MB of each device")
    if not row["collectives"]:
        print("collectives                none")
    for name, count in row["not_counted"].items():
        print(f"not counted                {count} × {name}: the bounds are too low")
    if row.get("bounds"):
        times = ", ".join(f"{name} {_time(seconds)}" for name, seconds in row["bounds"].items())
        print(f"bounds, not predictions    {times}")
        step = "step" if row["program"] == "train" else "call"
        print(
            f"  a {step} takes at least {_time(row['seconds_at_least'])} ({row['bound']}):"
            f" at most {row['images_per_s_at_most']:,.0f} images/s"
        )


def _fitting(row: Row, where: Place) -> str:
    of = f"of {row['limit'] / GIB:,.2f} GiB"
    if row["fits"]:
        return f"{of}: fits"
    whole = where.kind.memory
    if row["peak"] < 0.95 * whole:
        return f"{of}: fits only with XLA_PYTHON_CLIENT_MEM_FRACTION=0.95, of {whole / GIB:,.2f} GiB"
    return f"{of}: does not fit"


def _types(macs: dict[str, int]) -> str:
    total = sum(macs.values())
    shares = [f"{100 * count / total:.0f} % {of}" for of, count in macs.items() if count > total / 200]
    return f" ({', '.join(shares)})" if shares else ""


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:,.3g} {unit}"
    return f"{seconds / 1e-6:,.3g} µs"


def _tabulate(found: list[Row]) -> None:
    """A row for each program; a column for each key that differs; below, why a program does not compile."""
    keys = list(dict.fromkeys(key for row in found for key, _ in row["changes"]))
    measures = ("program", "fits", "GiB", "temporaries", "collectives", "MB", "step ≥", "images/s ≤")
    table = Table(*keys, *measures)
    for row in found:
        known, changes = "memory" in row, dict(row["changes"])
        collectives = ", ".join(f"{one['count']} {name}" for name, one in row.get("collectives", {}).items())
        table.add_row(
            *(changes.get(key, "") for key in keys),
            row["program"],
            {True: "yes", False: "no", None: "–"}[row["fits"]],
            f"{row['peak'] / GIB:,.3g}" if "peak" in row else "",
            f"{row['memory']['temporaries'] / GIB:,.3g}" if known else "",
            collectives if known else "",
            f"{sum(x['bytes'] for x in row['collectives'].values()) / MB:,.3g}" if known else "",
            _time(row["seconds_at_least"]) if "bound" in row else "",
            f"{row['images_per_s_at_most']:,.0f}" if "bound" in row else "",
        )
    show(table)
    for row in found:
        if row["fits"] is None:
            print(f"{named(row['changes'])}: {row['reason']}")


def _write(options, where: Place, found: list[Row]) -> None:
    """After every row: a program may take minutes."""
    if not options.out:
        return

    out = pathlib.Path(options.out)
    what = {"page": options.config, "given": dict(options.overrides), "on": where.text, "device": where.kind.name}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(
            json.dumps({**what, "rows": [{**row, "changes": dict(row["changes"])} for row in found]}, indent=1)
        )
    except OSError as error:
        raise PageError(f"--out {out}: {error.strerror}") from error
    with drawing("of the memory"):
        from experiments.rehearse.picture import memory_picture
        from training.pictures import save

        bars = {f"{row['program']}, {named(row['changes'])}": row for row in found if row["fits"] is not None}
        if bars:
            save(memory_picture(bars), out.with_suffix(".png"))
