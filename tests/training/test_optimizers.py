import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from training import OPTIMIZERS
from training.errors import TrainingError
from training.optimizers import make_optimizer, numbers, optimizer_defaults

STEPS = 10
SLOW = dict(name="linear", peak=0.05, end=0.01)
NO_HYPER = {"optimizer": {}, "schedule": {}}


def parameters(dtype=float):
    draw = np.random.default_rng(0).normal
    return {
        "stem": {"kernel": jnp.asarray(draw(size=(4, 3)), dtype), "bias": jnp.asarray(draw(size=3), dtype)},
        "head": {"kernel": jnp.asarray(draw(size=(3, 2)), dtype), "scale": jnp.asarray(draw(size=2), dtype)},
    }


def objective(params):
    """A bowl with unequal axes, plus a coupling between the leaves."""
    leaves = jax.tree.leaves(params)
    bowl = sum((i + 1) * jnp.sum(jnp.square(x - 0.3)) for i, x in enumerate(leaves))
    return bowl + 0.1 * jnp.sum(params["stem"]["kernel"] @ params["head"]["kernel"]) ** 2


def descend(build, params, hyper=NO_HYPER, steps=STEPS):
    """`steps` updates by an optimizer of ours; all numbers of `hyper` are traced."""

    @jax.jit
    def update(t, params, state, hyper):
        value, grad = jax.value_and_grad(objective)(params)
        change, state = build(t, hyper).update(grad, state, params, value=value, grad=grad, value_fn=objective)
        return optax.apply_updates(params, change), state

    state = build(0, hyper).init(params)
    for t in range(steps):
        params, state = update(t, params, state, hyper)
    return params, state


def descend_optax(transformation, params, steps=STEPS):
    """The same by optax itself, with its own schedule, nothing traced."""
    transformation = optax.with_extra_args_support(transformation)
    state = transformation.init(params)
    for _ in range(steps):
        value, grad = jax.value_and_grad(objective)(params)
        change, state = transformation.update(grad, state, params, value=value, grad=grad, value_fn=objective)
        params = optax.apply_updates(params, change)
    return params


def traced(optimizer, schedule):
    """`hyper` as a run has it: every float an argument."""
    rate = {key: value for key, value in schedule.items() if key != "name"}
    return {"optimizer": numbers(optimizer), "schedule": rate}


def assert_same(a, b, tolerance=1e-11):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance), a, b)


def rate():
    """optax's schedule, called with a float: from an int32 step it computes in float32 even under x64."""
    schedule = optax.linear_schedule(SLOW["peak"], SLOW["end"], STEPS)
    return lambda count: schedule(jnp.asarray(count, float))


def not_bias(tree):
    return {"stem": {"kernel": True, "bias": False}, "head": {"kernel": True, "scale": False}}


DIRECT = {
    "sgd": (dict(name="sgd"), lambda: optax.sgd(rate())),
    "momentum": (dict(name="sgd", momentum=0.9), lambda: optax.sgd(rate(), 0.9)),
    "nesterov": (
        dict(name="sgd", momentum=0.9, nesterov=True),
        lambda: optax.sgd(rate(), 0.9, nesterov=True),
    ),
    "l2": (
        dict(name="sgd", momentum=0.9, weight_decay=0.1),
        lambda: optax.chain(optax.add_decayed_weights(0.1), optax.sgd(rate(), 0.9)),
    ),
    "l2, some": (
        dict(name="sgd", momentum=0.9, weight_decay=0.1, no_decay=("bias$", "scale$")),
        lambda: optax.chain(optax.add_decayed_weights(0.1, not_bias), optax.sgd(rate(), 0.9)),
    ),
    "clip": (
        dict(name="sgd", clip_norm=0.5, weight_decay=0.1),  # the decay is not clipped
        lambda: optax.chain(optax.clip_by_global_norm(0.5), optax.add_decayed_weights(0.1), optax.sgd(rate())),
    ),
    "clip by unit": (
        dict(name="sgd", clip_ratio=0.01),
        lambda: optax.chain(optax.adaptive_grad_clip(0.01), optax.sgd(rate())),
    ),
    "rmsprop": (
        dict(name="rmsprop", decay=0.8, momentum=0.5, centered=True),
        lambda: optax.rmsprop(rate(), 0.8, momentum=0.5, centered=True),
    ),
    "adagrad": (dict(name="adagrad", eps=1e-3), lambda: optax.adagrad(rate(), eps=1e-3)),
    "adadelta": (
        dict(name="adadelta", rho=0.8, weight_decay=0.1, no_decay=("bias", "scale")),
        lambda: optax.adadelta(rate(), 0.8, weight_decay=0.1, weight_decay_mask=not_bias),
    ),
    "adam": (
        dict(name="adam", b1=0.8, weight_decay=0.1),
        lambda: optax.chain(optax.add_decayed_weights(0.1), optax.adam(rate(), 0.8)),
    ),
    "nadam": (dict(name="nadam"), lambda: optax.nadam(rate())),
    "radam": (dict(name="radam", b2=0.9), lambda: optax.radam(rate(), b2=0.9)),
    "adamw": (
        dict(name="adamw", b2=0.95, weight_decay=0.1, no_decay=("bias", "scale")),
        lambda: optax.adamw(rate(), b2=0.95, weight_decay=0.1, mask=not_bias),
    ),
    "adamw, default": (dict(name="adamw"), lambda: optax.adamw(rate())),
    "adafactor": (
        dict(name="adafactor", min_dim_size_to_factor=2, momentum=0.9),
        lambda: optax.adafactor(rate(), min_dim_size_to_factor=2, momentum=0.9),
    ),
    "adafactor, decay": (
        dict(name="adafactor", weight_decay=0.01, no_decay=("bias", "scale")),
        lambda: optax.adafactor(rate(), weight_decay_rate=0.01, weight_decay_mask=not_bias),
    ),
    "lars": (
        dict(name="lars", weight_decay=0.1, no_decay=("bias", "scale")),
        lambda: optax.lars(rate(), 0.1, weight_decay_mask=not_bias),
    ),
    "lamb": (dict(name="lamb", weight_decay=0.1), lambda: optax.lamb(rate(), weight_decay=0.1)),
    "lion": (dict(name="lion"), lambda: optax.lion(rate())),
    "by module": (dict(name="optax:yogi"), lambda: optax.yogi(rate())),
    "contributed": (dict(name="optax.contrib:muon"), lambda: optax.contrib.muon(rate())),
    "plateau": (
        dict(name="sgd", momentum=0.95, plateau_factor=0.1, plateau_patience=1, plateau_window=2),
        lambda: optax.chain(
            optax.sgd(rate(), 0.95),
            optax.contrib.reduce_on_plateau(0.1, patience=1, accumulation_size=2),
        ),
    ),
}


@pytest.mark.parametrize("case", DIRECT)
def test_equals_optax_used_directly(case):
    section, reference = DIRECT[case]
    with jax.enable_x64(True):
        build = make_optimizer(section, SLOW, steps=STEPS)
        ours, _ = descend(build, parameters(), traced(section, SLOW))
        # Adafactor keeps its momentum in float32.
        assert_same(ours, descend_optax(reference(), parameters()), 1e-6 if "adafactor" in case else 1e-11)


def test_lbfgs_with_its_line_search_equals_optax_and_arrives():
    with jax.enable_x64(True):
        constant = dict(name="constant", peak=1.0)
        section = dict(name="lbfgs", memory_size=5)
        ours, _ = descend(make_optimizer(section, constant, steps=8), parameters(), traced(section, constant), 8)
        assert_same(ours, descend_optax(optax.lbfgs(memory_size=5), parameters(), 8), 1e-9)
        start, end = parameters(), ours
        assert optax.tree.norm(jax.grad(objective)(end)) < 1e-2 * optax.tree.norm(jax.grad(objective)(start))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_number_can_be_swept_in_one_program(name):
    """Tracing over a vector of trials shows that no number is compared in Python."""
    section = {"name": name, **optimizer_defaults(name), "clip_norm": 1.0}
    build = make_optimizer(section, SLOW, steps=STEPS)
    two = jax.tree.map(lambda x: jnp.array([x, 0.9 * x]), traced(section, SLOW))
    swept, _ = jax.eval_shape(jax.vmap(lambda hyper: descend(build, parameters(), hyper, 1)), two)
    assert swept["stem"]["kernel"].shape == (2, 4, 3)


def test_trials_of_a_sweep_equal_trials_alone():
    section = dict(name="adamw", weight_decay=0.1, clip_norm=1.0)
    build = make_optimizer(section, SLOW, steps=STEPS)
    two = jax.tree.map(lambda x: jnp.array([x, 0.5 * x]), traced(section, SLOW))
    swept, _ = jax.vmap(lambda hyper: descend(build, parameters(), hyper, 2))(two)
    for i in range(2):
        one = lambda tree, i=i: jax.tree.map(lambda x: x[i], tree)
        assert_same(one(swept), descend(build, parameters(), one(two), 2)[0], 1e-5)


@pytest.mark.filterwarnings("ignore:scatter inputs")  # optax's L-BFGS writes float32 into its bfloat16 memory
def test_state_keeps_structure_and_types_in_bfloat16():
    """A traced rate is a float32 array: it must not widen parameters, updates or moments."""
    for name in OPTIMIZERS:
        section = {"name": name, "weight_decay": 0.0, "plateau_factor": 0.5}
        build = make_optimizer(section, SLOW, steps=STEPS)
        hyper = jax.tree.map(lambda x: jnp.array(x, jnp.float32), traced(section, SLOW))
        start = parameters(jnp.bfloat16)

        def update(params, state, build=build, hyper=hyper):
            value, grad = jax.value_and_grad(objective)(params)
            return build(0, hyper).update(grad, state, params, value=value, grad=grad, value_fn=objective)

        state = jax.eval_shape(build(0, hyper).init, start)
        change, after = jax.eval_shape(update, start, state)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
        assert {x.dtype for x in jax.tree.leaves(change)} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb", "optax:novograd", "lbfgs"])
def test_frozen_parameters_stay_and_count_nowhere(name):
    with jax.enable_x64(True):
        section = dict(name=name, freeze=("^stem/",), weight_decay=0.1, clip_norm=0.5)
        start = parameters()
        build = make_optimizer(section, SLOW, steps=STEPS)
        end, _ = descend(build, start, traced(section, SLOW))
        assert_same(end["stem"], start["stem"], 0)
        assert all(np.all(a != b) for a, b in zip(*map(jax.tree.leaves, (end["head"], start["head"])), strict=True))
        # The same as training the head alone: neither the norm nor the decay saw the stem.
        if name != "lbfgs":
            alone = {k: v for k, v in section.items() if k != "freeze"}
            build = make_optimizer(alone, SLOW, steps=STEPS)
            head, state = start["head"], build(0, NO_HYPER).init(start["head"])
            for t in range(STEPS):
                grad = jax.grad(lambda h: objective({"stem": start["stem"], "head": h}))(head)
                change, state = build(t, NO_HYPER).update(grad, state, head)
                head = optax.apply_updates(head, change)
            assert_same(end["head"], head)


@pytest.mark.parametrize("freeze", [(), ("^stem/",)])
def test_sam_descends_along_the_gradient_where_the_loss_is_larger(freeze):
    with jax.enable_x64(True):
        section, constant = dict(name="sgd", sam_radius=0.2, freeze=freeze), dict(name="constant", peak=0.1)
        start = parameters()
        ours, _ = descend(make_optimizer(section, constant, steps=1), start, traced(section, constant), 1)
        moving = {key: tree for key, tree in start.items() if not (freeze and key == "stem")}
        whole = lambda some: objective({**start, **some})
        grad = jax.grad(whole)(moving)
        nearby = jax.tree.map(lambda w, g: w + 0.2 * g / optax.tree.norm(grad), moving, grad)
        assert whole(nearby) > whole(moving)
        expected = jax.tree.map(lambda w, g: w - 0.1 * g, moving, jax.grad(whole)(nearby))
        assert_same(ours, {**start, **expected})


def test_muon_moves_a_convolution_as_the_matrix_that_it_is():
    with jax.enable_x64(True):
        draw = np.random.default_rng(0).normal
        params = {"conv": {"kernel": jnp.zeros((3, 3, 2, 8)), "bias": jnp.zeros(8)}, "token": jnp.zeros((1, 1, 4))}
        grad = jax.tree.map(lambda x: jnp.asarray(draw(size=x.shape)), params)
        build = make_optimizer(dict(name="muon", adam_ratio=0.5), dict(name="constant", peak=0.1), steps=1)(0, NO_HYPER)
        change, _ = build.update(grad, build.init(params), params)
        flat = lambda tree: tree["conv"]["kernel"].reshape(18, 8)
        alone = optax.contrib.muon(0.1)
        expected, _ = alone.update(flat(grad), alone.init(flat(params)), flat(params))
        assert_same(flat(change), expected)
        lengths = np.linalg.svd(flat(change) / -0.1)[1]
        assert lengths.min() > 0.6 and lengths.max() < 1.3  # orthogonal, as far as five iterations make it
        rest = lambda tree: (tree["conv"]["bias"], tree["token"])
        adam = optax.nadam(0.05)
        assert_same(rest(change), adam.update(rest(grad), adam.init(rest(params)))[0], 1e-6)


@pytest.mark.parametrize("undecayed", [("bias", "scale"), ("^head/",)])
def test_muon_decays_all_but_what_is_left_out(undecayed):
    with jax.enable_x64(True):
        section, constant = dict(name="muon", weight_decay=0.2, no_decay=undecayed), dict(name="constant", peak=0.1)
        start = parameters()
        decayed, _ = descend(make_optimizer(section, constant, steps=1), start, traced(section, constant), 1)
        plain = {key: value for key, value in section.items() if key == "name"}
        without, _ = descend(make_optimizer(plain, constant, steps=1), start, traced(plain, constant), 1)
        stem_only = {"stem": dict(kernel=True, bias=True), "head": dict(kernel=False, scale=False)}
        kept = not_bias(start) if "bias" in undecayed else stem_only
        assert_same(decayed, jax.tree.map(lambda w, x, d: w - 0.02 * x * d, without, start, kept))
        frozen = dict(name="muon", weight_decay=0.2, freeze=("bias",))
        end, _ = descend(make_optimizer(frozen, constant, steps=1), start, traced(frozen, constant), 1)
        assert_same(end["stem"]["bias"], start["stem"]["bias"], 0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_arrives(name):
    """At the minimum of a bowl with unequal axes, from any of the table, with a rate of its own scale."""
    rates = {"sgd": 0.02, "adagrad": 1.0, "adadelta": 20.0, "lars": 20.0, "lbfgs": 1.0}
    bowl = lambda params: sum((i + 1) * jnp.sum((x - 0.3) ** 2) for i, x in enumerate(jax.tree.leaves(params)))
    own = {"clipped_rmsprop": dict(bound=10.0)}  # the minimum is within it
    section, schedule = (
        dict(name=name, weight_decay=0.0, **own.get(name, {})),
        dict(name="cosine", peak=rates.get(name, 0.1)),
    )
    build = make_optimizer(section, schedule, steps=300)

    @jax.jit
    def run(params):
        def update(carry, t):
            params, state = carry
            value, grad = jax.value_and_grad(bowl)(params)
            change, state = build(t, NO_HYPER).update(grad, state, params, value=value, grad=grad, value_fn=bowl)
            return (optax.apply_updates(params, change), state), value

        return jax.lax.scan(update, (params, build(0, NO_HYPER).init(params)), jnp.arange(300))[0][0]

    end = bowl(run(parameters(jnp.float32)))
    assert end < 1e-3 * bowl(parameters(jnp.float32)), end


def test_plateau_shrinks_the_rate_when_the_loss_stalls():
    section = dict(name="sgd", plateau_factor=0.1, plateau_patience=2)
    transformation = make_optimizer(section, dict(name="constant", peak=1.0), steps=9)(0, NO_HYPER)
    params = {"w": jnp.ones(())}
    state, sizes = transformation.init(params), []
    for _ in range(6):
        change, state = transformation.update(params, state, params, value=1.0)
        sizes.append(-float(change["w"]))
    np.testing.assert_allclose(sizes, [1, 1, 0.1, 0.1, 0.01, 0.01], rtol=1e-5)


def test_defaults_are_the_keys_of_a_page():
    assert optimizer_defaults("sgd") == {
        "weight_decay": 0.0,
        "no_decay": (),
        "freeze": (),
        "clip_norm": None,
        "clip_ratio": None,
        "sam_radius": None,
        "plateau_factor": None,
        "plateau_patience": 10,
        "plateau_window": 1,
        "momentum": None,
        "nesterov": False,
    }
    assert optimizer_defaults("adamw")["weight_decay"] == 1e-4
    assert optimizer_defaults("adamw") == optimizer_defaults("optax:adamw")
    for name in OPTIMIZERS:
        assert not {"learning_rate", "mask", "weight_decay_mask", "mu_dtype"} & optimizer_defaults(name).keys()


def test_numbers_are_the_floats():
    section = {"name": "sgd", **optimizer_defaults("sgd"), "momentum": 0.9, "plateau_factor": 0.1}
    assert numbers(section) == {"weight_decay": 0.0, "momentum": 0.9}


@pytest.mark.parametrize(
    ("optimizer", "schedule", "message"),
    [
        (dict(name="adamm"), SLOW, r"optimizer.name='adamm' is unknown: did you mean 'adam'"),
        (dict(name="optax:yogy"), SLOW, r"'optax:yogy' is unknown: did you mean 'yogi'"),
        (dict(name="optax.contribs:muon"), SLOW, r"no module 'optax.contribs'"),
        (dict(name="timeit:timeit"), SLOW, r"optimizer.name='timeit:timeit' is unknown"),  # a stored page runs nothing
        (dict(name="sgd", momentun=0.9), SLOW, r"optimizer.momentun is not a key of 'sgd': did you mean 'momentum'"),
        (dict(name="sgd"), dict(name="cosin"), r"schedule.name='cosin' is unknown: did you mean 'cosine'"),
        (dict(name="sgd"), dict(name="cosine", pek=1.0), r"schedule.pek .* did you mean 'peak'"),
        (dict(name="sgd", freeze=("steam",)), SLOW, r"optimizer.freeze: 'steam' matches no .*stem/"),
        (dict(name="adamw", no_decay=("biass",)), SLOW, r"optimizer.no_decay: 'biass' .*did you mean '.*bias'"),
        (dict(name="sgd", freeze=("(",)), SLOW, r"optimizer.freeze: '\(' is not a regular expression"),
        (dict(name="optax:novograd", no_decay=("bias",)), SLOW, r"decays all parameters or none"),
    ],
)
def test_mistakes_are_named(optimizer, schedule, message):
    with pytest.raises(TrainingError, match=message):
        make_optimizer(optimizer, schedule, steps=9)(0, NO_HYPER).init(parameters())
