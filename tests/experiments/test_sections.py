"""Components inside components, frozen networks and evaluation sets: sections of a page like any other."""

import flax.linen as nn
import pytest

import models
from experiments.build.parts import Parts
from experiments.errors import PageError
from experiments.pages import override
from experiments.pages.schema import every_component
from experiments.pages.schema import page as make_page
from experiments.pages.stored import canonical, difference, from_canonical
from experiments.runs.fingerprint import fingerprint

DETECTOR = """
import flax.linen as nn

class Detector(nn.Module):
    backbone: nn.Module
    num_classes: int
    width: int = 8
    neck: nn.Module | None = None

    def __call__(self, image, train):
        return nn.Dense(self.num_classes)(self.backbone(image, train=train))
"""


@pytest.fixture(autouse=True)
def detector(tmp_path, monkeypatch):
    (tmp_path / "detector_of_a_test.py").write_text(DETECTOR)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(models.MODELS, "detector", "detector_of_a_test:Detector")


def page(**sections):
    given = dict(
        model=dict(name="detector", backbone=dict(name="resnet_cifar", depth=8)),
        task=dict(name="classification"),
        data=dict(name="digits"),
        optimizer=dict(name="sgd"),
        schedule=dict(name="constant"),
    )
    return make_page(**given | sections)


def test_a_network_inside_a_network_has_its_own_keys_and_defaults():
    config = page()
    assert config.model.backbone.depth == 8 and config.model.backbone.shortcut == "A" and config.model.width == 8
    assert "neck" not in config.model
    assert [c.target.partition(":")[2] for c in every_component(config)][:2] == ["Detector", "CifarResNet"]


def test_overrides_reach_inside_and_a_new_name_resets_the_section():
    config = override(page(), [("model.backbone.depth", "20"), ("model.width", "4")])
    assert (config.model.backbone.depth, config.model.width) == (20, 4)
    config = override(config, [("model.backbone.name", "mlp"), ("model.backbone.hidden", "(3,)")])
    assert config.model.backbone.to_dict() == {**config.model.backbone.to_dict(), "name": "mlp", "hidden": (3,)}
    assert "depth" not in config.model.backbone and config.model.width == 4
    config = override(config, [("model.neck.name", "lenet5"), ("model.neck.variant", "original")])
    assert config.model.neck.variant == "original"
    both = [("model.backbone.name", "mlp"), ("model.name", "detector")]
    assert override(page(), both).model.backbone.name == "mlp"


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("model.backbone.dpeth", "3", "--config.model.backbone.dpeth: unknown key 'dpeth': did you mean 'depth'?"),
        ("model.bckbone.name", "mlp", "--config.model.bckbone.name: unknown key 'bckbone': did you mean 'backbone'?"),
        ("model.backbone.name", "mpl", "model.backbone.name='mpl' is unknown: did you mean 'mlp'?"),
        ("model.name", "detector", "model.backbone has no name: detector needs a network there"),
        (
            "model.backbone",
            "mlp",
            "--config.model.backbone=mlp: backbone is a section: set its name, or one of its keys",
        ),
        ("model.width.name", "mlp", "--config.model.width.name: width is not a network"),
        ("frozen.name", "mlp", "--config.frozen.name: name an entry, as in --config.frozen.KEY.name=…"),
        (
            "frozen.vgg.weights",
            "x",
            "--config.frozen.vgg.weights: unknown key 'vgg': there is none",
        ),
        (
            "evaluate.far.every",
            "1",
            "--config.evaluate.far.every: unknown key 'far': there is none",
        ),
    ],
)
def test_an_override_that_does_not_fit_is_one_line(key, value, line):
    with pytest.raises(PageError) as error:
        override(page(), [(key, value)])
    assert str(error.value) == line


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        (dict(model=dict(name="detector")), "model.backbone has no name: detector needs a network there"),
        (
            dict(model=dict(name="detector", backbone=dict(name="mlp", hiden=(1,)))),
            "model.backbone: unknown key 'hiden': did you mean 'hidden'?",
        ),
        (dict(frozen=dict(name="mlp")), "frozen: a section of named entries, as in frozen=dict(this=dict(…))"),
        (dict(frozen=dict(vgg=dict(weights="x"))), "frozen.vgg has no name"),
        (
            dict(frozen=dict(vgg=dict(name="mlp", wieghts="x"))),
            "frozen.vgg: unknown key 'wieghts': did you mean 'weights'?",
        ),
        (dict(evaluate=dict(far=dict(splt="x"))), "evaluate.far: unknown key 'splt': did you mean 'split'?"),
        (dict(evaluate=dict(far=dict(every="x"))), "evaluate.far.every='x': every is an int like 0"),
    ],
)
def test_a_page_that_does_not_fit_is_one_line(sections, line):
    with pytest.raises(PageError) as error:
        page(**sections)
    assert str(error.value) == line


def test_frozen_networks_and_evaluation_sets_are_none_by_default():
    config = page()
    assert config.frozen.to_dict() == {} and config.evaluate.to_dict() == {}
    assert config.data.sampler == "shuffled"


def test_frozen_networks_and_evaluation_sets_are_complete_sections():
    config = page(
        frozen=dict(judge=dict(name="lenet5", weights="runs/a")), evaluate=dict(far=dict(name="synthetic", every=100))
    )
    assert config.frozen.judge.variant == "modern" and config.frozen.judge.weights == "runs/a"
    far = dict(split="test", name="synthetic", every=100, also=())
    assert far.items() <= config.evaluate.far.to_dict().items() and config.evaluate.far.num_classes == 10
    config = override(
        config, [("frozen.judge.name", "mlp"), ("evaluate.far.also", "a, b"), ("evaluate.far.name", "digits")]
    )
    assert (config.frozen.judge.weights, config.frozen.judge.hidden) == ("runs/a", (512, 512))
    assert (config.evaluate.far.also, config.evaluate.far.name) == (("a", "b"), "digits")
    config = override(
        page(), [("frozen.vgg.name", "mlp"), ("frozen.vgg.weights", "w"), ("evaluate.near.split", "train")]
    )
    assert config.frozen.vgg.weights == "w" and config.evaluate.near.split == "train"


def test_stored_and_compared_in_canonical_form():
    config = page(frozen=dict(judge=dict(name="lenet5")), evaluate=dict(far=dict(also=("fd",))))
    stored = canonical(config)
    assert canonical(from_canonical(stored)) == stored
    other = canonical(override(config, [("model.backbone.depth", "14")]))
    assert difference(stored, other) == ["model.backbone.depth: stored 8, given 14"]
    del stored["frozen"], stored["evaluate"]  # of a page that was stored before there were such sections
    assert canonical(from_canonical(stored)) == canonical(page())


def test_the_builder_makes_the_inner_network_without_classes():
    network = Parts(page()).networks["model"]
    assert isinstance(network.backbone, nn.Module)
    assert (network.num_classes, network.backbone.num_classes, network.backbone.depth) == (10, 0, 8)


def test_networks_that_are_frozen_or_inside_have_no_head_and_no_key_for_it():
    inside, frozen = dict(name="detector", backbone=dict(name="dncnn")), dict(critic=dict(name="dcgan_discriminator"))
    config = page(model=inside, frozen=frozen)
    assert "headless" not in config.model.backbone and "headless" not in config.frozen.critic
    networks = Parts(config).networks
    assert (networks["model"].backbone.headless, networks["critic"].headless) == (True, True)


def test_the_fingerprint_sees_the_inner_network():
    mlp = page(model=dict(name="detector", backbone=dict(name="mlp")))
    assert fingerprint(page()) != fingerprint(mlp)


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        (
            dict(model=dict(name="detector", backbone=dict(name="resnet_cifra"))),
            "model.backbone.name='resnet_cifra' is unknown: did you mean 'resnet_cifar'?",
        ),
        (
            dict(model=dict(name="detector", backbone=dict(name="resnet_cifar", detph=8))),
            "model.backbone: unknown key 'detph': did you mean 'depth'?",
        ),
        (dict(model=dict(critic=dict(name="mpl"))), "model.critic.name='mpl' is unknown: did you mean 'mlp'?"),
        (dict(frozen=dict(vgg=dict(name="mpl"))), "frozen.vgg.name='mpl' is unknown: did you mean 'mlp'?"),
        (
            dict(frozen=dict(vgg=dict(name="detector", backbone=dict(name="mpl")))),
            "frozen.vgg.backbone.name='mpl' is unknown: did you mean 'mlp'?",
        ),
        (
            dict(evaluate=dict(other=dict(name="digts"))),
            "evaluate.other.name='digts' is unknown: did you mean 'digits'?",
        ),
        (
            dict(optimizer=dict(model=dict(name="sdg"))),
            "optimizer.model.name='sdg' is unknown: did you mean 'sgd'?",
        ),
        (
            dict(schedule=dict(model=dict(name="constnat"))),
            "schedule.model.name='constnat' is unknown: did you mean 'constant'?",
        ),
        (dict(optimizer="sgd"), "optimizer='sgd' is not a section: write optimizer=dict(…)"),
    ],
)
def test_a_misspelt_name_or_key_is_named_with_its_whole_path(sections, line):
    with pytest.raises(PageError) as error:
        page(**sections)
    assert str(error.value) == line


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        (
            "model.backbone.name",
            "resnet_cifra",
            "model.backbone.name='resnet_cifra' is unknown: did you mean 'resnet_cifar'?",
        ),
        (
            "model.backbone.detph",
            "3",
            "--config.model.backbone.detph: unknown key 'detph': did you mean 'depth'?",
        ),
        ("evaluate.other.name", "digts", "evaluate.other.name='digts' is unknown: did you mean 'digits'?"),
    ],
)
def test_an_override_that_is_misspelt_is_named_with_its_whole_path(key, value, line):
    with pytest.raises(PageError) as error:
        Parts(override(page(evaluate=dict(other=dict(name="digits"))), [(key, value)])).source("other")
    assert str(error.value) == line
