"""The rates that a network declares are numbers that a sweep may vary within one program."""

import pytest

from experiments.build.networks import model_rates
from experiments.build.parts import Parts
from experiments.pages import page
from training.task import trained


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


def test_rates_of_a_network_inside_another_are_numbers_too():
    config = page(
        model=dict(name="embedding", backbone=dict(name="mlp", hidden=(8,), dropout_rate=0.5)),
        task=dict(name="metric_learning"),
        data=dict(name="digits", train="train[:200]", test="test[:20]", sampler="pk(4, 2)"),
        optimizer=dict(name="sgd"),
        schedule=dict(name="constant"),
        train=dict(batch_size=8),
    )
    assert model_rates(config) == {"model.backbone.dropout_rate": 0.5}
    parts = Parts(config)
    assert parts.hyper["model"] == {"model": {"backbone.dropout_rate": pytest.approx(0.5)}}
    network = trained(parts.networks, {"model": {"model": {"backbone.dropout_rate": 0.25}}})["model"]
    assert network.backbone.dropout_rate == 0.25
