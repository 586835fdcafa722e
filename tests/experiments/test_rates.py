"""The rates that a network declares are numbers that a sweep may vary within one program."""

import pytest

from experiments.build.parts import Parts, model_rates
from experiments.pages import page


def vit(**fields):
    return page(
        model=dict(name="vit", width=12, depth=2, heads=3, mlp=24, patch=4, **fields),
        task=dict(name="classification"),
        data=dict(name="digits", train="train[:20]", test="test[:20]"),
        optimizer=dict(name="sgd"),
        schedule=dict(name="constant"),
    )


def test_every_declared_rate_is_a_number_of_the_page():
    config = vit(dropout_rate=0.1, stochastic_depth=0.2)
    rates = {"model.dropout_rate": 0.1, "model.stochastic_depth": 0.2}
    assert model_rates(config) == rates
    parts = Parts(config)
    assert rates.items() <= parts.numbers.items()
    assert parts.hyper["model"] == {
        "model": {"dropout_rate": pytest.approx(0.1), "stochastic_depth": pytest.approx(0.2)}
    }


def test_a_rate_of_zero_means_no_such_layer_and_is_no_number():
    assert not [key for key in Parts(vit(stochastic_depth=0.2)).numbers if "dropout" in key]
