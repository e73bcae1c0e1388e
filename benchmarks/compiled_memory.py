"""The memory that XLA plans for the two largest programs: PRNet's adaptation and DPNet's training step.

    python -m benchmarks.compiled_memory
    python -m benchmarks.compiled_memory --tpu=v5e:2x2   # compiled for a TPU that need not be there

Nothing is run. For the CPU the plain convolutions are compiled that accelerators take, and not the CPU's own
(fsjax/models/layers/conv.py). TPUs' compiler is the package libtpu, of the version that jax[tpu] names.
"""

import argparse
import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fsjax import compiled
from fsjax import config as configuration
from fsjax.devices import DEVICES
from fsjax.episode import Episode
from fsjax.models import build
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.training.optimizer import OptimizerSettings, learning_rate, make_optimizer
from fsjax.training.step import make_state, split, train_step

# Less optimised code is compiled sooner and takes the same memory. The CPU's compiler, and it alone, merges
# what is computed again with what was computed before, unless one of its passes is left out.
FLAGS = "--xla_backend_optimization_level=0 --xla_disable_hlo_passes=cse_barrier_expander"

SGD = OptimizerSettings("sgd", 1e-3, 0.9, 0.999, 5e-4, "constant", (), 0.1, 0)


class Case(NamedTuple):
    """A program, as a function of `config.model`, which is changed to each dtype and remat."""

    name: str
    model: dict[str, Any]
    program: Callable[
        ..., Any
    ]  # (method, options) -> the function, its arguments' shapes, and what is donated


def adaptation(method: Any, options: argparse.Namespace) -> tuple[Any, tuple[Any, ...], tuple[int, ...]]:
    """Returns PRNet's five steps on one way's supports, all parameters."""
    S, K = options.prnet_size, options.shots
    variables = jax.eval_shape(method.init, jax.random.key(0))
    images, masks = _shape(jnp.uint8, 1, K, S, S, 3), _shape(jnp.uint8, 1, K, S, S)
    return (
        compiled.adapt(method, AdaptSettings(steps=5)),
        (variables, images, masks, _shape(jnp.int32, 1, K, 2)),
        (),
    )


def training(method: Any, options: argparse.Namespace) -> tuple[Any, tuple[Any, ...], tuple[int, ...]]:
    """Returns a one-shot training step of a batch of episodes, the frozen backbone in it."""
    S, B = options.dpnet_size, options.batch
    schedule, _ = learning_rate(SGD, 1)
    optimizer = make_optimizer(SGD, schedule)
    learned, frozen = split(method, jax.eval_shape(method.init, jax.random.key(0)))
    state = jax.eval_shape(lambda learned: make_state(learned, optimizer), learned)
    images, masks, sizes = (_shape(dtype, B, 1, *more) for dtype, *more in
                            ((jnp.uint8, S, S, 3), (jnp.uint8, S, S), (jnp.int32, 2)))  # fmt: skip
    one = _shape(jnp.int32, B)
    batch = Episode(
        *(jax.ShapeDtypeStruct((B, 1, *x.shape[1:]), x.dtype) for x in (images, masks, sizes)),
        images, sizes, masks, sizes, _shape(jnp.int32, B, 1), _shape(jnp.float32, B), one,
    )  # fmt: skip
    return train_step(method, optimizer, 0), (state, frozen, batch), (0,)


def _shape(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def planned(program: Any, arguments: Any, donated: tuple[int, ...], device: Any) -> dict[str, float]:
    """Returns the gigabytes that a program compiled for a device takes: all, arguments, temporaries."""
    mesh = Mesh([device], (DEVICES,))
    everywhere = NamedSharding(mesh, PartitionSpec())
    placed = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), arguments)
    mapped = jax.shard_map(
        program, mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec(), check_vma=False
    )
    with mock.patch("jax.lax.platform_dependent", lambda *arrays, default, **_: default(*arrays)):
        lowered = jax.jit(mapped, donate_argnums=donated).lower(*placed)
    found = lowered.compile().memory_analysis()
    arguments, temporary = found.argument_size_in_bytes, found.temp_size_in_bytes
    total = arguments + temporary + found.output_size_in_bytes - found.alias_size_in_bytes
    return {"all": total / 1e9, "arguments": arguments / 1e9, "temporary": temporary / 1e9}


def _method(model: dict[str, Any], dtype: str, remat: str) -> Any:
    config = configuration.default()
    for name, value in {**model, "compute_dtype": dtype, "remat": remat}.items():
        part = config.model.backbone_options if name == "stages" else config.model
        part[name] = value
    return build.method(config.model)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tpu", default="", help="a topology, as v5e:2x2; empty: this machine's CPU")
    parser.add_argument("--backbone", default="", help="in place of the papers', as small")
    parser.add_argument("--shots", type=int, default=5, help="PRNet's")
    parser.add_argument("--prnet_size", type=int, default=417, help="side of PRNet's photos in pixels")
    parser.add_argument("--dpnet_size", type=int, default=641, help="side of DPNet's photos in pixels")
    parser.add_argument("--batch", type=int, default=4, help="DPNet's episodes")
    options = parser.parse_args(argv)
    if not options.tpu:  # whose compiler needs that pass
        os.environ.setdefault("XLA_FLAGS", FLAGS)  # read when the first array is made
    cases = [
        Case("PRNet adapts", {"name": "prnet", "backbone": options.backbone or "resnet101"}, adaptation),
        Case("DPNet trains", {"name": "dpnet", "backbone": options.backbone or "resnet50"}, training),
    ]
    if not options.backbone:
        cases[1].model["stages"] = 3
    devices = (
        topologies.get_topology_desc(platform="tpu", topology_name=options.tpu).devices
        if options.tpu else jax.devices("cpu")
    )  # fmt: skip
    print(f"compiled for {devices[0].device_kind} by jax {jax.__version__}; GB")
    print(f"{'program':14}{'dtype':>10}{'remat':>8}{'all':>8}{'arguments':>11}{'temporary':>11}")
    for case, dtype, remat in itertools.product(cases, ("float32", "bfloat16"), ("none", "blocks", "stages")):
        if case.program is training and remat != "none":
            continue  # its backbone has no gradients
        found = planned(*case.program(_method(case.model, dtype, remat), options), devices[0])
        numbers = f"{found['all']:8.2f}{found['arguments']:11.2f}{found['temporary']:11.2f}"
        print(f"{case.name:14}{dtype:>10}{remat:>8}{numbers}", flush=True)


if __name__ == "__main__":
    main()
