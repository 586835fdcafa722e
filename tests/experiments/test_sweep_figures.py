"""The pictures of a sweep are drawn whatever its keys and values are called."""

from experiments.sweeps import figures
from tests.training.test_pictures import NAMES
from training import pictures


def test_keys_and_values_are_drawn_letter_by_letter():
    trials = [
        {"params": dict.fromkeys(NAMES, name), "state": "complete", "value": float(i)} for i, name in enumerate(NAMES)
    ]
    drawn = {
        "parallel": figures.parallel(trials, "$m", "max"),
        "slices": figures.slices(trials, "$m", "max"),
        "importance": figures.importance(dict.fromkeys(NAMES, 1 / len(NAMES))),
    }
    for name, figure in drawn.items():
        assert pictures.pixels(figure).std() > 0, name
    titles = [ax.get_title(loc="left").replace("\\$", "$") for ax in drawn["slices"].axes]
    assert titles[0] == "$0_$10" and titles[3] == " _a"
