"""Where a number that is not finite came from: a function carried out equation by equation."""

import pathlib
from collections.abc import Callable

import flax
import jax
import jax.numpy as jnp
import optax
from jax.extend import core, source_info_util

# Equations that only call another jaxpr, which is entered; the name of the parameter that holds it.
_CALLS = {"jit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}

for _library in (flax, optax):  # the line to blame is the one that calls the library
    source_info_util.register_exclusion(str(pathlib.Path(_library.__file__).parent))


def origin(function: Callable, *arguments) -> str | None:
    """Where `function(*arguments)` first makes a NaN out of numbers that are none, and where an infinity.

    Returns:
      "sub makes NaN at x.py:8:4 (forward); exp makes infinity at x.py:7:12 (forward)", or None where everything is
      finite. Of a backward pass the line is that of the operation whose derivative it is. A loop is one equation.
    """
    closed = jax.make_jaxpr(function)(*arguments)
    values = [jnp.asarray(x) for x in jax.tree.leaves(arguments)]
    found = []
    for what, test in (("NaN", jnp.isnan), ("infinity", jnp.isinf)):
        _, equation = _evaluate(closed, values, test)
        if equation is not None:
            where = source_info_util.summarize(equation.source_info)
            found.append(f"{equation.primitive.name} makes {what} at {where}")
    return "; ".join(found) or None


def _evaluate(closed: core.ClosedJaxpr, arguments: list, test: Callable) -> tuple[list, core.JaxprEqn | None]:
    """(outputs, None), or ([], the first equation that has a bad output and no bad input)."""
    bad = lambda x: jnp.issubdtype(jnp.result_type(x), jnp.floating) and bool(test(x).any())
    jaxpr = closed.jaxpr
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *arguments], strict=True))
    read = lambda v: v.val if isinstance(v, core.Literal) else known[v]
    for equation in jaxpr.eqns:
        inputs = [read(v) for v in equation.invars]
        inner = equation.params.get(_CALLS.get(equation.primitive.name))
        if inner is not None:
            outputs, found = _evaluate(inner, inputs, test)
            if found is not None:
                return [], found
        else:
            outputs = equation.primitive.bind(*inputs, **equation.primitive.get_bind_params(equation.params))
            outputs = outputs if equation.primitive.multiple_results else [outputs]
            if any(map(bad, outputs)) and not any(map(bad, inputs)):
                return [], equation
        known.update(zip(equation.outvars, outputs, strict=True))
    return [read(v) for v in jaxpr.outvars], None
