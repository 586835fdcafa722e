"""The ledger of reproductions: a JSON file per page in `experiments/results`, and the tables rendered from them.

They are written only by these functions. A row has the results of the finished runs of a page; a page with a published
figure and no row is listed as 'not run'.
"""

import json
import pathlib
import re
import shutil
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.errors import PageError, near
from experiments.pages import catalogue, stored
from experiments.runs.fingerprint import FREE, fingerprint
from experiments.runs.readings import better, in_unit, reading, shown
from training.atomic import replace

RESULTS = pathlib.Path(__file__).parents[1] / "results"

_HEAD = """# Reproductions

Written by `make ledger`; not to be edited. "Ours" is the mean ± standard deviation over the seeds. A row is
*reproduced* when ours is within the stated tolerance of the published figure or better, and *shortened* when it took
fewer steps than the published recipe. *Direction unknown*: the runs did not record whether more or less is better, so
ours has to be within the tolerance on both sides. "Also" lists the other numbers of the same split; of a list, its
range. The wall time is that of one run with its evaluation. *Older code*: the page's recipe or the code that its
numbers depend on had changed since the run when this table was written; *unknown code*: the run did not record it.

"""
BEGIN, END = "<!-- ledger: written by `make ledger` -->", "<!-- end of the ledger -->"


def add(workdirs: Iterable[pathlib.Path], results: pathlib.Path) -> dict[str, Any]:
    """Makes the row of the page of all `workdirs`, whose runs differ in their seeds, and renders the tables.

    Raises:
      PageError: a run that has not ended, runs of different pages or equal seeds, a run of an unknown page.
    """
    workdirs = [pathlib.Path(workdir) for workdir in workdirs]
    configs, summaries = [stored.read(workdir) for workdir in workdirs], [stored.read_summary(w) for w in workdirs]
    name = page_of(configs[0], workdirs[0])
    for config, workdir in zip(configs, workdirs, strict=True):
        if page_of(config, workdir) != name:
            raise PageError(f"{workdir} ran another page than {workdirs[0]}: {page_of(config, workdir)} and {name}")
    paper = stored.canonical(catalogue.load(name))["paper"]  # as the page now has it
    found = row(name, [{**config, "paper": paper} for config in configs], summaries)
    _picture(results, name).parent.mkdir(parents=True, exist_ok=True)
    _keep_picture(workdirs[0], _picture(results, name))
    studies = list(workdirs[0].glob("over_*.png"))  # by `fovea eval --over`
    for study in studies:
        shutil.copyfile(study, _picture(results, f"{name}_{study.stem}"))
    if studies:
        found["evaluations"] = stored.read_json(workdirs[0] / stored.EVALUATIONS)
    replace(row_file(results, name), json.dumps(found, indent=1) + "\n")
    render(results)
    return found


def page_of(config: Mapping[str, Any], where: Any = "this page") -> str:
    """The name of the page of a stored configuration. Raises PageError with the nearest page and the differences."""
    differences = {}
    for name in catalogue.pages():
        lines = stored.difference(stored.canonical(catalogue.load(name)), stored.completed(config))
        differences[name] = [line for line in lines if not line.startswith(FREE)]
        if not differences[name]:
            return name
    nearest = min(differences, key=lambda name: len(differences[name]))
    lines = [line.replace("stored", "page").replace("given", "here") for line in differences[nearest]]
    raise PageError(f"the ledger has rows of unchanged pages only; {where} is nearest to {nearest}: {'; '.join(lines)}")


def row(name: str, configs: Sequence[Mapping], summaries: Sequence[Mapping]) -> dict[str, Any]:
    """The row of page `name`, from the stored configurations and summaries of its runs."""
    paper, steps = configs[0]["paper"], configs[0]["train"]["steps"]
    metric, seeds = paper["metric"], [config["train"]["seed"] for config in configs]
    if not metric:
        raise PageError(f"page {name} names no paper.metric")
    if len(set(seeds)) < len(seeds):
        raise PageError(f"two runs of {name} have the same seed: {', '.join(map(str, seeds))}")
    for summary in summaries:
        if summary.get(metric) is None:
            raise PageError(f"the runs of {name} did not measure {metric!r}{near(metric, summary)}")
    values, readings = [summary[metric] for summary in summaries], summaries[0].get("readings", {})
    also = _others(metric, summaries)
    mean = statistics.fmean(values)
    return {
        "page": name,
        **_published(paper),
        "status": _status(better(readings, metric), mean, paper["published"], paper["tolerance"]),
        "mean": mean,
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "values": values,
        "also": also,
        "readings": {name: dict(found) for name in (metric, *also) if (found := reading(readings, name))},
        "seeds": seeds,
        "steps": steps,
        "shortened": steps < paper["steps"],
        "hardware": _join(summaries, "hardware"),
        "seconds": statistics.fmean(summary["seconds"] for summary in summaries),
        "commit": _join(summaries, "commit"),
        "code": _join(summaries, "code"),
        "date": max(summary["date"] for summary in summaries),
        "versions": summaries[0]["versions"],
        "note": paper["note"],
    }


def _others(metric: str, summaries: Sequence[Mapping]) -> dict[str, Any]:
    """The other measurements on the split of `metric`: means over the runs; texts and lists of the first run.

    A number that some run could not measure, null in its summary, is left out.
    """
    split, found = metric.partition("/")[0] + "/", {}
    for name, first in summaries[0].items():
        if name.startswith(split) and name != metric and all(summary.get(name) is not None for summary in summaries):
            number = isinstance(first, float | int)
            found[name] = statistics.fmean(summary[name] for summary in summaries) if number else first
    return found


def command(name: str, seeds: Sequence[int]) -> str:
    """The command that makes a row again."""
    own = catalogue.load(name).train.seed
    consecutive = list(seeds) == list(range(own, own + len(seeds)))
    return f"fovea reproduce {name} --seeds {len(seeds) if consecutive else ''.join(f'{seed},' for seed in seeds)}"


def rows(results: pathlib.Path) -> list[dict[str, Any]]:
    """The rows, and 'not run' for each page with a published figure that has none.

    Each has its `command`, and its `age`: "" if it was made by the present code, "older code" or "unknown code".
    """
    gone = {"command": "", "age": "older code"}  # of a page that was removed
    kept = [stored.read_json(path) for path in results.glob("*.json")]
    found = {row["page"]: row | gone for row in kept}
    for name in catalogue.pages():
        page = catalogue.load(name)
        if name not in found and page.paper.published is not None:
            paper = page.paper.to_dict()
            found[name] = {"page": name, **_published(paper), "status": "not run", "note": paper["note"]}
        if name in found:
            seeds = found[name].get("seeds", [page.train.seed])
            found[name] |= {"command": command(name, seeds), "age": _age(found[name], page)}
    known = {metric: x for one in found.values() for metric, x in one.get("readings", {}).items()}
    for one in found.values():  # a page that was not run has no readings of its own
        own = {metric: x for metric, x in known.items() if metric == one["metric"]}
        one["readings"] = own | one.get("readings", {})
    return [found[name] for name in sorted(found)]


def _age(row, page):
    if row["status"] == "not run":
        return ""
    codes = set(re.split("; |, then ", row["code"]))
    return "unknown code" if "unknown" in codes else "" if codes == {fingerprint(page)} else "older code"


def row_file(results: pathlib.Path, name: str) -> pathlib.Path:
    """The file of a page's row."""
    return results / f"{catalogue.file_name(name)}.json"


def _picture(results, name):
    return results / "pictures" / f"{catalogue.file_name(name)}.png"


def _keep_picture(workdir: pathlib.Path, to: pathlib.Path) -> None:
    """Keeps one picture of a run, in 256 colours: its last samples, its segmentations or its confusion matrix."""
    from PIL import Image

    shown = [*sorted(workdir.glob("samples/*.png"))[-1:], workdir / "predictions.png", workdir / "confusion.png"]
    for picture in filter(pathlib.Path.exists, shown):
        with Image.open(picture) as image:
            # A third of the bytes: the repository keeps every picture that the ledger has had.
            image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(to, optimize=True)
        return


def render(results: pathlib.Path) -> None:
    """Writes the tables: `results/README.md`, and the short one between the two marks in the repository's README."""
    found = rows(results)
    (results / "README.md").write_text(full(found, results))
    readme = results.parents[1] / "README.md"
    if readme.exists() and BEGIN in readme.read_text():  # an installed package has none
        before, _, rest = readme.read_text().partition(BEGIN)
        readme.write_text(f"{before}{BEGIN}\n{short(found)}{END}{rest.partition(END)[2]}")


def full(found: Sequence[Mapping[str, Any]], results: pathlib.Path) -> str:
    """All columns of all rows; the page is a link to its picture."""
    names = ("page", "paper", "metric", "published", "ours", "difference", "status", "also", "seeds", "steps")
    names += ("hardware", "wall time", "commit", "date", "note")
    table = []
    for one in found:
        shown, picture = cells(one), _picture(results, one["page"])
        if picture.exists():
            shown["page"] = f"[{one['page']}]({picture.relative_to(results).as_posix()})"
        for studied in sorted(picture.parent.glob(f"{picture.stem}_over_*.png")):
            what = studied.stem.removeprefix(f"{picture.stem}_").replace("_", " ")
            shown["also"] += f", [{what}]({studied.relative_to(results).as_posix()})"
        table.append(shown)
    commands = "".join(f"    {one['command']}\n" for one in found)
    return f"{_HEAD}{_table(names, table)}\nEach row is made (again) by its command:\n\n{commands}"


def short(found: Sequence[Mapping[str, Any]]) -> str:
    """A narrow table of the rows that were run; it does not show the age of their code."""
    table = [cells(one) for one in found if one["status"] != "not run"]
    return _table(("page", "metric", "published", "ours", "status", "wall time"), table)


def _table(names, found):
    lines = [names, ["---"] * len(names), *([one[name].replace("|", "\\|") for name in names] for one in found)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _published(paper):
    where = (
        f", table {paper['table']}" if str(paper["table"]).isdigit() else f", {paper['table']}" * bool(paper["table"])
    )
    return {
        "paper": f"{paper['title']} ({paper['year']}){where}",
        "metric": paper["metric"],
        "published": paper["published"],
        "tolerance": paper["tolerance"],
        "paper_steps": paper["steps"],
    }


def _status(better, ours, published, tolerance):
    """Whether ours is within the tolerance or better; where the direction is unknown, within it on both sides."""
    if published is None:
        return "measured"
    # The slack is for rounding: 0.0090 + 0.0005 is 0.0095 on paper.
    over, slack = ours - published, tolerance + 1e-9 * abs(published)
    worse = {"min": over, "max": -over, None: abs(over)}[better]
    return "reproduced" if worse <= slack else "missed"


def _join(summaries, key):
    return "; ".join(dict.fromkeys(summary.get(key) or "unknown" for summary in summaries))


def cells(row: Mapping[str, Any]) -> dict[str, str]:
    """The row as text, column by column."""
    readings, metric = row.get("readings", {}), row["metric"]
    show = lambda value: in_unit(readings, metric, value)
    found = {
        name: str(row.get(name) or "") for name in ("page", "paper", "metric", "hardware", "commit", "date", "note")
    }
    found["published"] = "" if row["published"] is None else show(row["published"])
    unknown = row["status"] in ("reproduced", "missed") and not better(readings, metric)
    found["status"] = row["status"] + ", shortened" * bool(row.get("shortened")) + ", direction unknown" * unknown
    found["commit"] += f", {row['age']}" if row.get("age") else ""
    if row["status"] == "not run":
        steps = f"{row['paper_steps']:,} (paper)" if row["paper_steps"] else ""
        return {**found, "ours": "not run", "difference": "", "also": "", "seeds": "", "steps": steps, "wall time": ""}
    spread = "" if row["sd"] is None else f" ± {show(row['sd'])}"
    return {
        **found,
        "ours": show(row["mean"]) + spread,
        "difference": "" if row["published"] is None else _signed(show(row["mean"] - row["published"])),
        "also": ", ".join(
            f"{name.partition('/')[2]} {shown(readings, name, x)}" for name, x in row.get("also", {}).items()
        ),
        "seeds": ", ".join(map(str, row["seeds"])),
        "steps": f"{row['steps']:,}" + (f" of {row['paper_steps']:,}" if row["shortened"] else ""),
        "wall time": duration(row["seconds"]),
    }


def _signed(text):
    return text if text.startswith("-") else f"+{text}"


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
