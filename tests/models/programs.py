"""What a program consists of, found in its jaxpr."""

import jax
import jax.numpy as jnp
import pytest

_chosen = jax.jit(lambda x: jax.lax.platform_dependent(x, cpu=jnp.cos, default=jnp.sin)).lower(1.0).as_text()
newer_jax = pytest.mark.skipif(
    "stablehlo.sine" in _chosen or not hasattr(jax, "shard_map"),
    reason="this JAX lowers the branches of all platforms, and has no jax.shard_map",
)


def elsewhere(*arrays, default, **_):
    """Computes what accelerators do, in place of `jax.lax.platform_dependent`."""
    return default(*arrays)


def operations(jaxpr, name):
    """Yields the operands' dtypes of all operations of a name, in whatever part of a program they are."""
    for equation in _equations(jaxpr, name):
        yield {variable.aval.dtype.name for variable in equation.invars}


def bodies(jaxpr, name):
    """Yields the programs within all operations of a name, as what a "scan" repeats."""
    for equation in _equations(jaxpr, name):
        yield from _programs(equation)


def _equations(jaxpr, name):
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    for equation in jaxpr.eqns:
        if equation.primitive.name == name:
            yield equation
        for inner in _programs(equation):
            yield from _equations(inner, name)


def _programs(equation):
    values = jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program)
    return filter(_is_program, values)


def _is_program(value):
    return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")
