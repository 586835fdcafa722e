"""How a run is measured on the evaluation sets of its page: one pass over each set."""

import copy
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax

from data.pipeline import first_batch
from data.specs import build_spec
from experiments.build.parts import Parts
from experiments.build.sets import EvaluationSet
from experiments.errors import PageError
from experiments.evaluation.table import MEASURES
from training.evaluate import evaluate_set, make_evaluate_step, needs, readings, variables
from training.evaluators import Draw, Evaluator
from training.metrics.readings import Reading
from training.metrics.sums import Metric
from training.task import Task


@dataclasses.dataclass(frozen=True)
class Measures:
    """What is measured on a set: the task's own metrics and evaluators and those that the set adds."""

    task: Task
    evaluators: Mapping[str, Evaluator]

    @property
    def readings(self) -> dict[str, Reading]:
        return readings(self.task, self.evaluators)


class Evaluations:
    """The evaluation sets of a page.

    Measures and compiled steps are built when they are first used, and shared by the runs of one program.
    """

    def __init__(self, parts: Parts):
        self.parts = parts
        self._steps: dict[tuple, Any] = {}

    def sibling(self, parts: Parts) -> "Evaluations":
        """That of another run of the same program: what is compiled is shared."""
        other = copy.copy(self)
        other.parts = parts
        return other

    @property
    def sets(self) -> dict[str, EvaluationSet]:
        return self.parts.sets

    @functools.cache  # noqa: B019 - lives as long as the run
    def measures(self, also: tuple[str, ...]) -> Measures:
        """The task's own and the extra ones of these specifications.

        Raises DataError for an unknown measure or an unsuitable argument, PageError for one that is named twice.
        """
        task = self.parts.task
        metrics, evaluators = dict(task.metrics), dict(task.evaluators)
        for spec in also:
            measure = build_spec(spec, MEASURES, "measure", {"parts": self.parts})
            found = metrics if isinstance(measure, Metric) else evaluators
            if spec in found:
                raise PageError(f"the measure {spec!r} is named twice")
            found[spec] = measure
        return Measures(dataclasses.replace(task, metrics=metrics, evaluators=evaluators), evaluators)

    def readings(self) -> dict[str, Reading]:
        """Of every number of every set, by its name in the record: "SET/NUMBER"."""
        return {
            f"{name}/{number}": reading
            for name, one in self.sets.items()
            for number, reading in self.measures(one.also).readings.items()
        }

    def step(self, measures: Measures):
        """The evaluate step, neither placed nor compiled."""
        return make_evaluate_step(measures.task, self.parts.view, needs(measures.evaluators))

    def check(self, name: str) -> None:
        """Raises PageError where the network does not take the images of an evaluation set; nothing is computed."""
        parts = self.parts
        source, expected = parts.source(name), parts.info.shape
        if source.info.shape == expected:
            return

        def answer(params, stats, batch):
            return parts.task.predict(params, stats, parts.view(batch), jax.random.key(0), parts.frozen)

        try:
            jax.eval_shape(answer, parts.abstract_state.params, parts.abstract_state.stats, first_batch(source, 2))
        except Exception as error:  # of the network: a dense layer of another width, sides that it cannot halve
            found, trained = ("×".join(map(str, shape)) for shape in (source.info.shape, expected))
            raise PageError(
                f"evaluation set {name!r} has images of {found}, and the network is made for {trained}: resize them"
            ) from error

    def measure(self, state, name: str, draw: Draw, also: tuple[str, ...] = ()) -> dict[str, Any]:
        """The numbers and arrays of one pass over a set, or a split, with a placed state.

        Args:
          draw: makes samples with this state.
          also: extra measures, beside those of the set.
        """
        own = self.sets[name].also if name in self.sets else ()
        parts, devices, measures = self.parts, self.parts.devices, self.measures(own or also)
        key = (*measures.task.metrics, *needs(measures.evaluators))
        if key not in self._steps:
            self._steps[key] = devices.evaluate_step(self.step(measures))
        placed = self._steps[key]
        params, stats, _ = variables(state)
        shared = params, stats, parts.resident(name)
        frozen, root = parts.placed_frozen, devices.put(parts.root_key)
        return evaluate_set(
            lambda feed: placed(*shared, feed, frozen, root),
            parts.evaluation_feeds(name),
            devices,
            task=measures.task,
            source=parts.source(name),
            evaluators=measures.evaluators,
            draw=draw,
        )
