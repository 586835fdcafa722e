"""What a task declares: what may be asked of it, and that its declarations fit together."""

import dataclasses

import pytest

from training.errors import TrainingError
from training.task import Condition, Makes, Task, check_asked

MAKES = Makes(lambda *arguments: {}, given={"label": Condition("label")}, options={"steps": 50, "guidance": 1.0})


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ({"labels": 3}, {}, "no condition 'labels' for what it makes: did you mean 'label'"),
        ({}, {"step": 3}, "no option 'step' for what it makes: did you mean 'steps'"),
        ({"prompt": ""}, {}, "no condition 'prompt' for what it makes: there is label"),
    ],
)
def test_asking_for_what_a_task_cannot_make_is_one_clear_line(given, options, message):
    check_asked(MAKES, {"label": 3}, {"steps": 20})
    with pytest.raises(TrainingError, match=message):
        check_asked(MAKES, given, options)
    with pytest.raises(TrainingError, match="it takes no option"):
        check_asked(dataclasses.replace(MAKES, options={}), {}, {"steps": 3})


def test_players_are_named_once():
    task = Task(("critic",) * 5 + ("generator",), init=None, loss=None, predict=None)
    assert task.names == ("critic", "generator")
