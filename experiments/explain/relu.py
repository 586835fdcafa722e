"""A function whose ReLUs have another backward pass, while every other operation keeps its own."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

Backward = Callable[[jax.Array, jax.Array], jax.Array]  # (input of the ReLU, gradient of its output) -> of its input

# Zeiler & Fergus 2014, section 2.1: what comes back is rectified, whatever went in.
DECONVNET: Backward = lambda x, g: jnp.maximum(g, 0)
# Springenberg et al. 2015, figure 1: both.
GUIDED: Backward = lambda x, g: jnp.where(x > 0, jnp.maximum(g, 0), 0)


@functools.lru_cache(maxsize=16)  # so that what is compiled for it serves the next image
def with_relu(function: Callable, backward: Backward) -> Callable:
    """`function` of arrays with this backward pass in each `jax.nn.relu`; its values are the same.

    Other activations (ReLU6, leaky ReLU, GELU) keep their gradients.
    """

    @jax.custom_vjp
    def relu(x):
        return jnp.maximum(x, 0)

    relu.defvjp(lambda x: (relu(x), x), lambda x, g: (backward(x, g),))

    def replaced(*arguments):
        program, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        outputs = _evaluate(program.jaxpr, program.consts, jax.tree.leaves(arguments), relu)
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return replaced


def _evaluate(jaxpr, consts: Sequence, arguments: Sequence, relu: Callable) -> list:
    """The outputs of a program, operation by operation, with its ReLUs replaced."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))
    read = lambda x: x.val if hasattr(x, "val") else values[x]  # a literal has its value
    for operation in jaxpr.eqns:
        inputs, name, parameters = list(map(read, operation.invars)), operation.primitive.name, operation.params
        if _is_relu(operation):
            outputs = [relu(*inputs)]
        elif name in ("jit", "pjit"):
            inner = parameters["jaxpr"]
            outputs = _evaluate(inner.jaxpr, inner.consts, inputs, relu)
        elif name in ("checkpoint", "remat2"):
            outputs = _evaluate(parameters["jaxpr"], (), inputs, relu)
        else:
            outputs = operation.primitive.bind(*inputs, **operation.primitive.get_bind_params(parameters))
            outputs = outputs if operation.primitive.multiple_results else [outputs]
        values |= dict(zip(operation.outvars, outputs, strict=True))
    return list(map(read, jaxpr.outvars))


def _is_relu(operation) -> bool:
    """Whether it is a call of `jax.nn.relu`, which has a rule of its own and a name inside."""
    if operation.primitive.name != "custom_jvp_call":
        return False
    inner = operation.params["call_jaxpr"].jaxpr.eqns
    return len(inner) == 1 and inner[0].params.get("name") == "relu"
