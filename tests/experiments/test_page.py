"""Pages: every key typed, every name checked, stored and read back without loss."""

import json

import pytest

from experiments.errors import PageError
from experiments.pages.catalogue import CONFIGS, anywhere, file_name, load, locate, pages, summary
from experiments.pages.overrides import override
from experiments.pages.schema import components, page
from experiments.pages.stored import canonical, difference, from_canonical
from training import OPTIMIZERS
from training.optimizers import optimizer_defaults


@pytest.mark.parametrize("name", pages())
def test_every_page_survives_being_stored(name):
    given = load(name)
    stored = json.loads(json.dumps(canonical(given)))
    assert canonical(from_canonical(stored)) == stored
    assert difference(stored, canonical(given)) == []
    assert summary(name).endswith((".", ":", "?")), "the first line of a page says in a sentence what it is"


def test_a_stored_page_that_is_older_takes_the_defaults_of_today():
    stored = canonical(load("lenet5_digits"))
    del stored["train"]["ema"], stored["devices"]
    assert from_canonical(stored) == load("lenet5_digits")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("train.steps", "7", 7),
        ("train.steps", "1e3", 1000),
        ("train.dtype", "bfloat16", "bfloat16"),
        ("schedule.peak", "1", 1.0),
        ("schedule.peak", "3e-4", 3e-4),
        ("optimizer.nesterov", "true", True),
        ("optimizer.clip_norm", "1", 1.0),
        ("optimizer.clip_norm", "None", None),
        ("optimizer.no_decay", "bias|scale, ^params/.*/bn", ("bias|scale", "^params/.*/bn")),
        ("optimizer.freeze", "", ()),
        ("data.num_classes", "10", 10),
        ("data.augment", "flip", ("flip",)),
        ("data.augment", "pad_crop(4), affine(scale=(0.9, 1.1))", ("pad_crop(4)", "affine(scale=(0.9, 1.1))")),
        ("data.augment", "('flip', 'cutout(4)')", ("flip", "cutout(4)")),
        ("paper.published", "0.08", 0.08),
    ],
)
def test_a_value_is_read_as_the_type_of_its_key(key, text, value):
    config = override(load("lenet5_digits"), [(key, text)])
    section, name = key.split(".")
    assert config[section][name] == value
    assert type(config[section][name]) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "line"),
    [
        ("train.steps", "1.5", "--config.train.steps=1.5: steps is an int like 1500"),
        ("train.steps", "many", "--config.train.steps=many: steps is an int like 1500"),
        ("train.steps", "1e400", "--config.train.steps=1e400: steps is an int like 1500"),
        ("train.steps", "True", "--config.train.steps=True: steps is an int like 1500"),
        ("train.steps", "None", "--config.train.steps=None: steps is an int like 1500"),
        ("schedule.peak", "high", "--config.schedule.peak=high: peak is a float like 0.002"),
        ("optimizer.clip_norm", "x", "--config.optimizer.clip_norm=x: clip_norm is a float"),
        ("optimizer.nesterov", "yes", "--config.optimizer.nesterov=yes: nesterov is a bool: true or false"),
        ("data.num_classes", "10.5", "--config.data.num_classes=10.5: num_classes is an int"),
        ("train.stesp", "1", "--config.train.stesp: unknown key 'stesp': did you mean 'steps'?"),
        ("trian.steps", "1", "--config.trian.steps: unknown section 'trian': did you mean 'train'?"),
        ("train.steps.x", "1", "--config.train.steps.x: train.steps has no keys"),
        ("train", "1", "--config.train: name a key, as in --config.train.key=value"),
        ("train.name", "x", "--config.train.name: train has no name"),
        ("model.name", "lenet", "model.name='lenet' is unknown: did you mean 'lenet5'?"),
        ("optimizer.name", "adamm", "optimizer.name='adamm' is unknown: did you mean 'adam'?"),
    ],
)
def test_an_override_that_does_not_fit_is_one_line(key, text, line):
    with pytest.raises(PageError) as error:
        override(load("lenet5_digits"), [(key, text)])
    assert str(error.value) == line


def test_a_tuple_keeps_the_type_of_what_it_holds():
    assert override(load("mlp_digits"), [("model.hidden", "3, 4")]).model.hidden == (3, 4)
    with pytest.raises(PageError, match=r"hidden is a tuple like \(128,\)"):
        override(load("mlp_digits"), [("model.hidden", "a, b")])


def test_a_new_name_brings_its_own_defaults_whatever_the_order():
    config = override(load("lenet5_digits"), [("optimizer.momentum", "0.9"), ("optimizer.name", "sgd")])
    assert config.optimizer.momentum == 0.9
    assert "b1" not in config.optimizer
    with pytest.raises(PageError, match="unknown key 'momentum'"):
        override(load("lenet5_digits"), [("optimizer.momentum", "0.9")])


def test_another_data_set_keeps_the_splits_of_the_experiment():
    config = override(load("lenet5_digits"), [("data.name", "synthetic"), ("data.image_size", "28")])
    assert (config.data.train, config.data.image_size) == ("train[:90%]", 28)
    assert "split_seed" not in config.data


def test_an_override_changes_no_other_page():
    before = canonical(load("lenet5_digits"))
    override(load("lenet5_digits"), [("data.num_classes", "3"), ("optimizer.clip_norm", "1")])
    assert canonical(load("lenet5_digits")) == before


def test_a_page_cannot_be_changed_by_a_slip():
    config = load("lenet5_digits")
    with pytest.raises(AttributeError):
        config.train.stesp = 3


def test_sections_may_be_keyed_by_player():
    config = page(
        model=dict(critic=dict(name="mlp", hidden=(4,)), generator=dict(name="mlp")),
        task=dict(name="classification"),
        data=dict(name="digits"),
        optimizer=dict(name="sgd"),
        schedule=dict(critic=dict(name="constant", peak=0.1), generator=dict(name="constant")),
    )
    assert {key: fields["hidden"] for key, (_, fields) in components("model", config.model).items()} == {
        "critic": (4,),
        "generator": (512, 512),
    }
    config = override(config, [("model.critic.hidden", "(5,)"), ("schedule.generator.name", "cosine")])
    assert (config.model.critic.hidden, config.schedule.generator.name) == ((5,), "cosine")


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        (dict(modle={}), "unknown section 'modle': did you mean 'model'?"),
        (dict(model=dict(name="mlp", hiden=(1,))), "model: unknown key 'hiden': did you mean 'hidden'?"),
        (dict(model=dict(name="mlp", hidden=3)), "model.hidden=3: hidden is a tuple like (512, 512)"),
        (dict(), "the page has no section 'model'"),
        (dict(model=dict(name="mlp"), task={}), "task has no name"),
    ],
)
def test_a_page_that_does_not_fit_is_one_line(sections, line):
    with pytest.raises(PageError) as error:
        page(**sections)
    assert str(error.value) == line


def test_where_a_run_runs_is_no_difference():
    ours, theirs = canonical(load("lenet5_digits")), canonical(load("lenet5_digits"))
    theirs["devices"]["fsdp"], theirs["train"]["seed"] = 2, 1
    del theirs["train"]["ema"]
    assert difference(ours, theirs) == [
        "train.ema: stored 0.0, given absent",
        "train.seed: stored 0, given 1",
    ]


def test_the_readme_shows_a_page_as_it_is():
    shown = locate("resnet20_cifar10").read_text()
    readme = CONFIGS.parents[1] / "README.md"
    assert shown in readme.read_text()


@pytest.fixture
def sized(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        'from experiments.pages import load, override\n\nSIZES = {"full": 7, "small": 3}\n\n\n'
        'def get_config(size="full"):\n'
        '    return override(load("mlp_digits"), [("train.steps", str(SIZES[size]))])\n'
    )
    return path


def test_a_size_is_named_after_a_colon(sized):
    assert [load(f"{sized}{size}").train.steps for size in ("", ":full", ":small")] == [7, 7, 3]
    assert load("unet_isbi:small") == load("unet_isbi_small"), "the name that it had when it was a page of its own"
    assert load("unet_isbi:full") == load("unet_isbi") != load("unet_isbi:small")
    assert {"unet_isbi", "unet_isbi:small"} <= set(pages()) and "unet_isbi:full" not in pages()
    assert anywhere(f"{sized}:small") == f"{sized}:small" and anywhere("unet_isbi_small") == "unet_isbi:small"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_of_the_table_can_be_on_a_page(name):
    section = override(load("mlp_digits"), [("optimizer.name", name)]).optimizer
    assert set(section) == {"name", *optimizer_defaults(name)}


def test_the_first_size_has_the_plain_name_whatever_the_default_is(sized):
    sized.write_text(sized.read_text().replace('size="full"', 'size="small"'))
    assert [load(f"{sized}{size}").train.steps for size in ("", ":full", ":small")] == [7, 7, 3]


def test_sizes_of_something_else_are_not_the_page_s(sized):
    text = sized.read_text().replace('size="full"', "").replace("SIZES[size]", 'SIZES["small"]')
    sized.write_text(text)
    assert load(str(sized)).train.steps == 3


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("unet_isbi:smal", "page unet_isbi has no size 'smal': did you mean 'small'?"),
        ("lenet5_digits:small", "page lenet5_digits has no size 'small': it has one size"),
        ("lenet5_digits_small", "unknown config page 'lenet5_digits_small': did you mean 'lenet5_digits'?"),
        ("unet_isb:small", "unknown config page 'unet_isb:small': did you mean 'unet_isbi:small'?"),
    ],
)
def test_an_unknown_size_is_one_line(name, line):
    with pytest.raises(PageError) as error:
        load(name)
    assert str(error.value) == line


def test_no_two_pages_share_a_file_name():
    assert len({file_name(name) for name in pages()}) == len(pages())
