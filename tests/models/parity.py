"""The jax half of golden parity: what `tests/goldens/record.py` stored, recomputed by a network of ours."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from models.port import Port, from_torch, to_torch
from tests.goldens.make_classification import seeded_images, seeded_weights
from tests.goldens.record import HERE, digest, direction, few

NAMED_AS_OURS = Port()
MOVED = ["batch_stats"]

# Compiling is the cost of these tests.
quickly = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def filled(like):
    """Standard normal leaves: faster than an initialisation, and nothing is zero by design."""
    random = np.random.RandomState(0)
    return jax.tree.map(lambda leaf: random.standard_normal(leaf.shape).astype(leaf.dtype), like)


def abstract(model, *inputs, **options):
    """The shapes of the variables of a network, without computing any."""
    return jax.eval_shape(partial(model.init, **options), jax.random.key(0), *inputs)


def golden(file: str) -> dict[str, np.ndarray]:
    with np.load(HERE / f"{file}.npz") as arrays:
        return dict(arrays)


def golden_shapes(stored) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the tensors of torch's network."""
    return {str(k): tuple(map(int, s.split())) for k, s in zip(stored["names"], stored["shapes"], strict=True)}


def assert_parity(file: str, forward, like, port: Port = NAMED_AS_OURS, rtol=1e-4):
    """Output, gradients and moved statistics of forward(variables) -> (output, variables that moved) are torch's.

    `like` are the network's abstract variables. Returns those with the golden's seeded weights.
    """
    stored = golden(file)
    variables = from_torch(seeded_weights(golden_shapes(stored)), like, port)
    towards = np.moveaxis(direction("output", stored["output"].shape), 1, -1)

    @quickly
    @partial(jax.grad, has_aux=True)
    def differentiate(params, rest):
        output, moved = forward({**rest, "params": params})
        return jnp.sum(output * towards), (output, moved)

    gradients, (output, moved) = differentiate(variables["params"], variables)
    expected = np.moveaxis(stored["output"], 1, -1)
    np.testing.assert_allclose(output, expected, rtol=rtol, atol=rtol * np.abs(expected).max())

    gradients = to_torch({"params": gradients}, port)
    names = [str(name) for name in stored["gradient_names"]]
    ours = [gradients[name] for name in names]
    along = [direction(name, gradients[name].shape) for name in names]
    # A bias in front of a normalisation has no gradient but rounding: hence the second term.
    norms = stored["gradient_norms"] + 1e-3 * np.median(stored["gradient_norms"])
    np.testing.assert_allclose(
        [np.linalg.norm(g) for g in ours] / norms, stored["gradient_norms"] / norms, atol=10 * rtol
    )
    scale = norms * [np.linalg.norm(d) for d in along]
    products = np.array([np.vdot(d, g) for d, g in zip(along, ours, strict=True)])
    np.testing.assert_allclose(products / scale, stored["gradient_products"] / scale, atol=10 * rtol)

    moved = to_torch(moved, port)
    for name in (key.removeprefix("moved/") for key in stored if key.endswith("running_mean")):
        np.testing.assert_allclose(moved[name], stored[f"moved/{name}"], rtol=rtol, atol=rtol)
    return variables


def assert_classifier_parity(file: str, model, port: Port = NAMED_AS_OURS, rtol=1e-6):
    """Logits and maps in evaluation, logits, gradients and moved statistics in training are torch's, in float64.

    `model` is a classifier of images or pixels of ours whose rates are 0; what is compared is what `record_classifier`
    stored.
    """
    with jax.enable_x64(True):
        stored = golden(file)
        side, classes = int(stored["side"]), stored["logits"].shape[1]
        images = seeded_images(len(stored["logits"]), side, side, 3).astype(np.float64)
        model = model.clone(num_classes=classes, param_dtype=jnp.float64)
        like = abstract(model, images, train=False)
        variables = from_torch(seeded_weights(golden_shapes(stored)), like, port)

        @quickly
        def compute(variables, images):
            def loss(params, images):
                logits, moved = model.apply({**variables, "params": params}, images, train=True, mutable=MOVED)
                logits = sum(logits) if isinstance(logits, tuple) else logits  # auxiliary classifiers
                logits = jnp.moveaxis(logits, -1, 1)
                return jnp.sum(logits * direction("logits", logits.shape)), (few(logits), moved)

            gradients, trained = jax.grad(loss, (0, 1), has_aux=True)(variables["params"], images)
            fields = model.__dataclass_fields__
            headless = model.clone(**({"headless": True} if "headless" in fields else {"num_classes": 0}))
            maps = headless.apply(variables, images, train=False)
            logits = few(jnp.moveaxis(model.apply(variables, images, train=False), -1, 1))
            return logits, maps, *gradients, *trained

        logits, maps, gradients, of_image, train_logits, moved = compute(variables, images)

    def assert_close(ours, theirs, what):
        """Norms and products with a direction, which vary with the norm times that of the direction."""
        digests = np.array([digest(name, np.asarray(array)) for name, array in ours.items()])
        lengths = [np.linalg.norm(direction(name, array.shape)) for name, array in ours.items()]
        norms = theirs[:, 0] + 1e-3 * np.median(theirs[:, 0])  # of a bias before a norm only rounding is left
        scale = np.stack([norms, norms * np.array(lengths)], 1)
        np.testing.assert_allclose(digests / scale, theirs / scale, atol=rtol, rtol=0, err_msg=what)

    np.testing.assert_allclose(logits, stored["logits"], rtol=rtol, atol=rtol * np.abs(stored["logits"]).max())
    if names := [key for key in stored if key.startswith("map/")]:
        ours = {name: np.moveaxis(maps[name.removeprefix("map/")], -1, 1) for name in names}
        assert_close(ours, np.array([stored[name] for name in names]), "maps")

    expected = stored["train_logits"]
    np.testing.assert_allclose(train_logits, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    name = "gradient of the image"
    assert_close({name: np.moveaxis(of_image, -1, 1)}, stored[name][None], name)
    gradients = to_torch({"params": gradients}, port)
    assert_close({str(name): gradients[name] for name in stored["gradient_names"]}, stored["gradients"], "gradients")
    if len(stored["moved_names"]):
        moved = to_torch(moved, port)
        assert_close({str(name): moved[name] for name in stored["moved_names"]}, stored["moved"], "moved statistics")
