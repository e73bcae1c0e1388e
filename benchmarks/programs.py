"""What the main programs cost and how many there are, beside limits that a change must not pass unseen.

    python -m benchmarks.programs           # prints both, and fails where a limit is passed
    python -m benchmarks.programs --write   # writes the limits anew, benchmarks/limits.json

Nothing is timed. Floating-point operations and bytes are XLA's count of what is handed to it, before any
compiler of a platform has changed it, so that machines agree. Programs are counted while a tiny network is
trained and evaluated: each costs its users a compilation.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import jax
from jax import monitoring
from jax.sharding import Mesh, PartitionSpec
from ml_collections import ConfigDict

from benchmarks.scaling import begun, config_of
from fsjax import experiment
from fsjax.devices import DEVICES
from fsjax.evaluation.adapted import photos_of, segment_episode
from fsjax.experiment import costs
from fsjax.experiment.shapes import episode_of, stacked, variables_of
from fsjax.models import build
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.scales import Scales
from fsjax.training.step import train_step

LIMITS = Path(__file__).with_name("limits.json")
TOLERANCE = {"flops": 1.03, "bytes": 1.15}
"""Times the number that was written: versions of JAX count a little otherwise."""

Costs = dict[str, dict[str, float]]
Made = dict[str, dict[str, int]]

RESNET50 = {"model.backbone": "resnet50", "train.size": 321, "eval.size": 321}
DINOV2 = {"model.backbone": "dinov2_small", "model.weights": "dinov2-small"}


def training(config: ConfigDict, episodes: int) -> jax.stages.Traced:
    """Returns the training step of a device, with so many episodes, as it is traced."""
    method, optimizer, state, fixed = begun(config)
    whole = PartitionSpec()
    step = jax.shard_map(
        train_step(method, optimizer, config.seed), mesh=Mesh(jax.devices()[:1], (DEVICES,)),
        in_specs=whole, out_specs=whole, check_vma=False,
    )  # fmt: skip
    batch = stacked(episode_of(config, method), episodes)
    return jax.jit(step, donate_argnums=0).trace(state, fixed, batch)


def segmenting(config: ConfigDict, adapts: bool = False) -> jax.stages.Traced:
    """Returns an evaluated episode: photos to logits, after an adaptation to its supports if it adapts."""
    method, shown = build.method(config.model), config.copy_and_resolve_references()
    for name in ("ways", "shots", "queries", "size"):
        shown.train[name] = config.eval[name]
    settings = build.segment_settings(config)
    adapt = AdaptSettings(**config.eval.adapt)

    def segment(variables, episode):
        photos = photos_of(method, episode, Scales())
        if adapts:
            below = [method.below(variables, *each, adapt) for each in photos]
            shown = below[0], episode.support_masks, episode.support_sizes
            variables, _ = method.adapt(variables, *shown, adapt)
            features = [method.above(variables, each, adapt) for each in below]
        else:
            features = [method.embed(variables, *each) for each in photos]
        return segment_episode(method, variables, episode, features, Scales())(settings)

    return jax.jit(segment).trace(variables_of(method), episode_of(shown, method))


def features(config: ConfigDict) -> jax.stages.Traced:
    """Returns the features of one photo."""
    method = build.method(config.model)
    episode = episode_of(config, method)
    photo = stacked(jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype),
                                 (episode.query_images, episode.query_sizes)), 1)  # fmt: skip
    return jax.jit(method.embed).trace(variables_of(method), *photo)


PROGRAMS: dict[str, Callable[[], jax.stages.Traced]] = {
    "PRNet's step, ResNet-50, 321": lambda: training(config_of("prnet_coco", RESNET50), 1),
    "DPNet's step, ResNet-50, 321": lambda: training(config_of("dpnet_pascal", {}), 4),
    "PRNet's step, embedded": lambda: training(config_of("prnet_shapes", {}), 1),
    "an evaluated episode, ResNet-50, 321": lambda: segmenting(config_of("prnet_coco", RESNET50)),
    "an adapted episode, last stage": lambda: segmenting(
        config_of("prnet_coco", {**RESNET50, "eval.adapt.parameters": "last_stage"}), adapts=True
    ),
    "FSSDINO's episode, DINOv2-small": lambda: segmenting(config_of("fssdino_coco", DINOV2)),
    "features of DINOv2-small, 518": lambda: features(config_of("prnet_dinov2_coco", DINOV2)),
}


@cache
def traced(name: str) -> jax.stages.Traced:
    """Returns one of `PROGRAMS`, which is traced once."""
    return PROGRAMS[name]()


def cost(name: str) -> dict[str, float]:
    """Returns the floating-point operations of a program, and the bytes that they read and write.

    Of a loop the bytes are those of one round.
    """
    program = traced(name)
    found: Any = program.lower(lowering_platforms=("cpu",)).cost_analysis() or {}
    return {"flops": costs.counted(program, "cpu"), "bytes": found.get("bytes accessed", 0.0)}


_MAKING: list[Counter[str]] = []


def _count(event: str, _: float, **more: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        for made in _MAKING:
            made[str(more.get("fun_name", "unnamed"))] += 1


monitoring.register_event_duration_secs_listener(_count)  # once: older JAX takes none back


@contextmanager
def making() -> Iterator[Counter[str]]:
    """Counts the programs that are compiled in the block, by name, also those kept from an earlier process.

    All that this process has compiled before is forgotten first.
    """
    made: Counter[str] = Counter()
    jax.clear_caches()
    _MAKING.append(made)
    try:
        yield made
    finally:
        _MAKING.remove(made)


def made_by(config: ConfigDict, sources: Mapping[str, Any], folder: Path) -> dict[str, int]:
    """Returns the programs, by name, of which a training (if it trains) and its evaluation are made."""
    with making() as made:
        run = experiment.train(config, sources, folder / "run") if config.train.steps else None
        experiment.evaluate(config, sources, folder / "evaluated", run=run)
    return dict(sorted(made.items()))


def grown(found: Costs, limits: Costs) -> list[str]:
    """Says what costs more than its limit."""
    return [
        f"{name} takes {number:.4g} {unit}, and {limits[name][unit]:.4g} when limits were written, "
        f"{number / limits[name][unit] - 1:+.0%}: {_CURE}"
        for name, units in found.items()
        for unit, number in units.items()
        if number > TOLERANCE[unit] * limits[name][unit]
    ]


def more_made(found: Made, limits: Made) -> list[str]:
    """Says where more programs are compiled than before, and which."""
    said = []
    for name, made in found.items():
        before, now = sum(limits[name].values()), sum(made.values())
        if now > before:
            more = Counter(made) - Counter(limits[name])
            which = ", ".join(f"{number} of {program}" for program, number in more.most_common())
            said.append(
                f"{name} compiles {now} programs, {before} when limits were written ({which}): {_CURE}"
            )
    return said


_CURE = "mend it, or, if it is meant, write them anew with python -m benchmarks.programs --write."


def tiny() -> dict[str, tuple[ConfigDict, Callable[[Path], Mapping[str, Any]]]]:
    """Returns the configurations that are trained and evaluated, each with what makes its data."""
    from tests.runs import dpnet_config, fssdino_config, prnet_config, toy_sources

    adapted = {"eval.rows": ("fusion0", "fusion2", "adapted")}
    return {
        "PRNet": (prnet_config(adapted), toy_sources),
        "DPNet": (dpnet_config(), toy_sources),
        "FSSDINO": (fssdino_config(), toy_sources),
    }


def all_made() -> Made:
    """Trains and evaluates what `tiny` has, and returns the programs of each."""
    found = {}
    for name, (config, sources) in tiny().items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = made_by(config, sources(Path(folder)), Path(folder))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="what is found becomes the limits")
    options = parser.parse_args(argv)
    found = {"costs": {name: cost(name) for name in PROGRAMS}, "programs": all_made()}
    for name, units in found["costs"].items():
        print(f"{name:40}{units['flops'] / 1e9:10.2f} GFLOP{units['bytes'] / 1e9:10.2f} GB")
    for name, made in found["programs"].items():
        print(f"{name:40}{sum(made.values()):10} programs")
    if options.write:
        LIMITS.write_text(json.dumps({"jax": jax.__version__, **found}, indent=1) + "\n")
        return 0
    limits = json.loads(LIMITS.read_text())
    said = grown(found["costs"], limits["costs"]) + more_made(found["programs"], limits["programs"])
    print("\n".join(said), file=sys.stderr)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
