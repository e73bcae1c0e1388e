"""What a compiled function costs a device: operations by XLA's count, and memory by its plan."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun
from jax.sharding import PartitionSpec

LOG = logging.getLogger(__name__)

PLAIN = "tpu"
"""A platform on which a convolution is one operation, however it is computed then."""


@dataclass(frozen=True)
class Costs:
    """What one call costs each device that takes part in it.

    Attributes:
      flops: floating-point operations, two for each multiplication with addition; every round of a loop is
        counted.
      arguments: bytes of what is handed in.
      outputs: bytes of results, without those that take the place of donated arguments.
      temporaries: bytes of all that lies between.
    """

    flops: float
    arguments: int
    outputs: int
    temporaries: int

    @property
    def memory(self) -> int:
        """Bytes that the call takes at most, programs not counted."""
        return self.arguments + self.outputs + self.temporaries


def costs(function: Callable[..., Any], *args: Any, static: Sequence[int] = ()) -> Costs:
    """Returns what a pmapped or jitted function costs on the platform at hand; it is compiled, and not run.

    Operations are counted by XLA before it optimises, as on a TPU, so that platforms agree: a CPU has ways of
    its own to convolve (`fsjax.models.layers.winograd`). It counts the body of a loop once; what the other
    rounds of a `lax.scan` take is added. Of a `lax.while_loop` no number is known.

    Args:
      function: it.
      args: arrays or `jax.ShapeDtypeStruct`, with the axis of local devices in front for a pmapped function;
        static arguments as they are.
      static: which of them are static.
    """
    return compiled_costs(function, *args, static=static)[0]


def compiled_costs(
    function: Callable[..., Any], *args: Any, static: Sequence[int] = ()
) -> tuple[Costs, jax.stages.Compiled]:
    """Returns `costs` and the compiled program; the arguments are the same."""
    program = _compiled(function.lower(*args))  # type: ignore[attr-defined]
    memory = program.memory_analysis()
    assert memory is not None, "CPUs, GPUs and TPUs have a plan of their memory"
    outputs = memory.output_size_in_bytes - memory.alias_size_in_bytes
    flops = operations(function, *args, static=static)
    found = Costs(flops, memory.argument_size_in_bytes, outputs, memory.temp_size_in_bytes)
    return found, program


def operations(function: Callable[..., Any], *args: Any, static: Sequence[int] = ()) -> float:
    """Returns the operations of `costs`, without compiling; the arguments are the same."""
    return counted(jax.jit(function, static_argnums=tuple(static)).trace(*args), PLAIN)


def counted(traced: jax.stages.Traced, platform: str) -> float:
    """Returns a function's floating-point operations on a platform, every round of a loop among them."""
    lowered = traced.lower(lowering_platforms=(platform,))
    return _flops(lowered) + _further_rounds(traced.jaxpr.jaxpr, platform)


def _compiled(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    LOG.info("Compiling, to see what it costs.")
    began = time.monotonic()
    compiled = lowered.compile()
    LOG.info("Compiled in %.0f seconds.", time.monotonic() - began)
    return compiled


def _flops(lowered: jax.stages.Lowered) -> float:
    return float((lowered.cost_analysis() or {}).get("flops", 0.0))


def _further_rounds(jaxpr: Jaxpr, platform: str, mesh: Any = None) -> float:
    """Returns the operations of all loops of known length but for each one's first round.

    Args:
      jaxpr: a program.
      platform: which it is lowered for.
      mesh: of the devices that it is mapped over, if it is.
    """
    further = 0.0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        mapped_over = params["mesh"] if name == "shard_map" else mesh
        inside = [_further_rounds(part, platform, mapped_over) for part in _parts(params)]
        if name == "scan":
            length = params["length"]
            further += (length - 1) * _once(params["jaxpr"], platform, mesh) + length * sum(inside)
        elif name == "cond":
            further += max(inside) if (taken := _taken(params, platform)) is None else inside[taken]
        else:
            further += sum(inside)
    return further


def _taken(params: dict[str, Any], platform: str) -> int | None:
    """Returns which branch of `lax.platform_dependent` a platform takes; None of any other choice."""
    of_branches = params.get("branches_platforms") or ()
    return next((i for i, names in enumerate(of_branches) if names is None or platform in names), None)


def _parts(params: dict[str, Any]) -> list[Jaxpr]:
    """Returns the programs inside an operation."""
    values = [one for value in params.values() for one in (value if isinstance(value, tuple) else (value,))]
    return [one.jaxpr if isinstance(one, ClosedJaxpr) else one
            for one in values if isinstance(one, Jaxpr | ClosedJaxpr)]  # fmt: skip


def _once(body: ClosedJaxpr, platform: str, mesh: Any) -> float:
    """Returns the operations of one round of a loop."""
    function = jaxpr_as_fun(body)
    if mesh is not None:  # for what it sums over devices
        whole = PartitionSpec()
        function = jax.shard_map(function, mesh=mesh, in_specs=whole, out_specs=whole, check_vma=False)
    traced = jax.jit(function).trace(*(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in body.in_avals))
    return _flops(traced.lower(lowering_platforms=(platform,)))
