"""How numbers are read: which direction is better, and in which unit they are shown.

A run writes the readings of its numbers, {"test/error": {"better": "min", "unit": "%"}}, where they are computed: into
`summary.json` when it ends, and into `readings.json` before that. Everything that ranks or shows numbers reads them
there; a number without a reading has no better direction and no unit. The reading of a list is that of each entry.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from experiments.pages.stored import READINGS, SUMMARY, read_json, read_summary

NOT_MEASURED = "–"  # a record has null
Readings = Mapping[str, Mapping[str, Any]]


def of_run(workdir: pathlib.Path) -> Readings:
    """The readings that a run wrote; {} where it has written none."""
    if (workdir / SUMMARY).exists():
        return read_summary(workdir).get("readings", {})
    return read_json(workdir / READINGS) if (workdir / READINGS).exists() else {}


def reading(readings: Readings, name: str) -> Mapping[str, Any]:
    """The reading of a number; the splits of a metric share one: "test/error" serves "validation/error"."""
    shared = {other.partition("/")[2]: found for other, found in readings.items()}
    return readings.get(name) or shared.get(name.partition("/")[2]) or {}


def better(readings: Readings, name: str) -> str | None:
    """ "min" or "max"; None where the direction is unknown, or there is none."""
    return reading(readings, name).get("better")


def shown(readings: Readings, name: str, value: Any) -> str:
    """A number in its unit, a text as it is, and of a list its range in the unit; "–" where nothing was measured."""
    if value is None:
        return NOT_MEASURED
    if isinstance(value, list):
        numbers = [x for x in value if x is not None]  # null: an entry that could not be measured
        return " to ".join(in_unit(readings, name, end(numbers)) for end in (min, max)) if numbers else NOT_MEASURED
    return value if isinstance(value, str) else in_unit(readings, name, value)


def in_unit(readings: Readings, name: str, value: float) -> str:
    """A number as text: a fraction with the unit "%" as "8.75 %", others as "86.76 nats" or "3.506"."""
    unit = reading(readings, name).get("unit", "")
    return f"{100 * value:.2f} %" if unit == "%" else f"{value:.4g} {unit}".rstrip()
