"""Extra measures, named by `evaluate.SET.also`. The table is text, so that listing it imports nothing.

A function takes the arguments of the specification, and the keyword `parts` (experiments.build.parts.Parts) where it
needs the run; it returns a training.metrics.Metric or an Evaluator.
"""

MEASURES = {
    "judge": "experiments.evaluation.samples:judge",
    "top_k": "experiments.evaluation.top:top_k",
    "coverage": "experiments.evaluation.coverage:coverage",
}
