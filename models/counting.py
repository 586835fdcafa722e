"""What a network costs: multiply-adds, read off its jaxpr, and parameters, without computing either."""

from functools import partial
from math import prod

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr


def count_macs(fn, *args) -> int:
    """Multiply-adds of fn(*args) in convolutions and matrix products; args may be ShapeDtypeStructs.

    Counted as torch's flop counter does (which prints twice as many): padding is multiplied too, normalisation
    and pooling are not counted. A scan counts once per iteration, a conditional as its dearest
    branch, a shard_map once per device. Raises ValueError on a while loop with products in it.
    """
    return jaxpr_macs(jax.make_jaxpr(fn)(*args).jaxpr)


def jaxpr_macs(jaxpr: Jaxpr) -> int:
    return sum(equation_macs(equation) for equation in jaxpr.eqns)


def equation_macs(equation) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        return equation.outvars[0].aval.size * prod(equation.invars[0].aval.shape[i] for i in contracted)
    if name == "conv_general_dilated":
        return conv_macs(equation)

    if params.get("name") == "_grouped_conv" and len(equation.invars) == 2:
        kernel = equation.invars[1].aval
        return equation.outvars[0].aval.size * kernel.size // kernel.shape[-1]

    inner = [jaxpr_macs(jaxpr) for value in params.values() for jaxpr in jaxprs_in(value)]
    if name == "cond":
        return max(inner)
    if name == "while" and any(inner):
        raise ValueError("the products in a while loop cannot be counted: its length is not known")
    if name == "scan":
        return params["length"] * sum(inner)
    if name == "shard_map":
        return params["mesh"].size * sum(inner)
    return sum(inner)


def conv_macs(equation) -> int:
    """The smaller of two counts: every tap of every output, and every tap of every input.

    The second is that of a transposed convolution, and of the gradient by the image where there is no padding. Of a
    dilated image an output meets one pixel in as many taps as the dilation says; the others meet holes.
    """
    image, kernel = (v.aval for v in equation.invars)
    params = equation.params
    out_axis, in_axis = params["dimension_numbers"].rhs_spec[:2]
    of_outputs = equation.outvars[0].aval.size * kernel.size // kernel.shape[out_axis] // prod(params["lhs_dilation"])
    of_inputs = image.size * kernel.size // kernel.shape[in_axis] // params["feature_group_count"]
    return min(of_outputs, of_inputs)


def jaxprs_in(value) -> list[Jaxpr]:
    """The jaxprs among an equation's parameters: bodies of jit, scan, remat, custom derivatives, branches."""
    if isinstance(value, ClosedJaxpr):
        return [value.jaxpr]
    if isinstance(value, Jaxpr):
        return [value]
    if isinstance(value, tuple | list):
        return [jaxpr for item in value for jaxpr in jaxprs_in(item)]
    return []


def parameter_table(module, *input_shapes: tuple[int, ...]) -> list[tuple[str, tuple[int, ...], int]]:
    """(path, shape, count) of each trainable leaf of a module called as module(*inputs, train=False)."""
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in input_shapes]
    variables = jax.eval_shape(partial(module.init, train=False), jax.random.key(0), *inputs)
    leaves = jax.tree_util.tree_leaves_with_path(variables["params"])
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf.shape, leaf.size) for path, leaf in leaves]
