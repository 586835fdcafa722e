"""A sampler for finite spaces that tries no setting twice."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna

from experiments.sweeps.spaces import Space


class Untried(optuna.samplers.BaseSampler):
    """Takes what another sampler proposes, or a setting near it where a trial has had that setting already.

    A sweep asks for at most as many trials as there are settings; otherwise there would be nothing left to take.
    """

    def __init__(self, inner: optuna.samplers.BaseSampler, spaces: Mapping[str, Space], seed: int):
        self._inner, self._seed = inner, seed
        self._choices = {key: space.distribution() for key, space in spaces.items()}

    def infer_relative_search_space(self, study, trial):
        return self._choices

    def sample_relative(self, study, trial, search_space) -> dict[str, Any]:
        inner, known = self._inner, self._inner.infer_relative_search_space(study, trial)
        chosen = inner.sample_relative(study, trial, known)
        for key, choices in search_space.items():
            if key not in chosen:
                chosen[key] = inner.sample_independent(study, trial, key, choices)
        tried = [other.params for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        random = np.random.default_rng((self._seed, trial.number))
        while chosen in tried:  # a walk from the proposal, one key at a time
            key = list(search_space)[random.integers(len(search_space))]
            chosen = {**chosen, key: _any_of(search_space[key], random)}
        return chosen

    def sample_independent(self, study, trial, param_name, param_distribution):
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study, trial):
        self._inner.before_trial(study, trial)

    def after_trial(self, study, trial, state, values):
        self._inner.after_trial(study, trial, state, values)


def _any_of(choices: optuna.distributions.BaseDistribution, random: np.random.Generator) -> Any:
    if isinstance(choices, optuna.distributions.CategoricalDistribution):
        return choices.choices[random.integers(len(choices.choices))]
    return int(random.integers(choices.low, choices.high + 1))
