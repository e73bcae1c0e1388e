"""What a program consists of, found in its jaxpr."""

import jax


def operations(program, names, *arguments):
    """Yields (name, the operands' dtypes, the shape of the result) of the operations of these names."""
    yield from _within(jax.make_jaxpr(program)(*arguments).jaxpr, names)


def _within(jaxpr, names):
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in names:
            dtypes = [variable.aval.dtype.name for variable in equation.invars]
            yield name, dtypes, equation.outvars[0].aval.shape
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(inner):
                yield from _within(getattr(inner, "jaxpr", inner), names)


def _is_program(value):
    return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")
