"""What a training step computes, sends and reads on 8, 64 and 512 chips: on paper, and on virtual devices.

    python -m benchmarks.scaling           # docs/scaling.md; some minutes
    python -m benchmarks.scaling --quick   # a small network, which shows that it works

Nothing is run on a chip, and nothing is timed. The step is compiled for virtual CPU devices; its operations
and what it sends come from the program, all else from the published figures and the assumptions below.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax
from ml_collections import ConfigDict

from benchmarks.collectives import Collective, collectives
from fsjax.cli import load_config, set_fields
from fsjax.experiment.costs import Costs, compiled_costs
from fsjax.experiment.sentences import in_bytes, in_flops
from fsjax.experiment.settings import optimizer_of
from fsjax.experiment.shapes import Shapes, episode_of, stacked, variables_of
from fsjax.models import build
from fsjax.training.optimizer import learning_rate, make_optimizer
from fsjax.training.step import make_state, make_train_step, split

CONFIGS = Path(__file__).parents[1] / "configs"
COUNTS = (8, 64, 512)
UTILISATIONS = (0.2, 0.4, 0.6)
"""Shares of the peak that convolutions may reach: an assumption."""

USUAL = 0.4
PHOTO_MS = 12.35
"""CPU milliseconds of a photo with its mask at 417: half of an episode's in docs/speed.md."""

PHOTO_BYTES = 163_000
"""Of one photo as stored: COCO's 118,287 training photos are some 19.3 GB."""


@dataclass(frozen=True)
class Chip:
    """A chip as its vendor describes it.

    Attributes:
      name: of the chip.
      peak: bfloat16 operations a second, without sparsity.
      memory: bytes.
      near: bytes a second that it sends in one direction to chips of its group.
      far: likewise to chips beyond.
      group: chips that the near links reach.
      cores: of the host, for each chip.
    """

    name: str
    peak: float
    memory: float
    near: float
    far: float
    group: int
    cores: float

    def link(self, chips: int) -> float:
        """Returns the bytes a second of the slowest link in a ring of so many chips."""
        return self.near if chips <= self.group else self.far


CHIPS = (
    # docs.cloud.google.com/tpu/docs/v4: 275 TFLOP/s, 32 GiB, 4,096 chips, an all-reduce of 1.1 PB/s in a pod,
    # which are 269 GB/s for each chip's six links; and /v5e: 197 TFLOP/s, 16 GB, 256 chips, 1,600 Gbit/s for
    # each chip's four links, 6.4 Tbit/s between pods. A ring uses two links of a chip. The host's
    # processors: 240 for 4 chips, an assumption, and 224 for 8, GKE's machine type ct5lp-hightpu-8t.
    Chip("TPU v4", 275e12, 32 * 2**30, 90e9, 90e9, 4096, 60),
    Chip("TPU v5e", 197e12, 16e9, 100e9, 3.1e9, 256, 28),
    # nvidia.com/en-us/data-center/h100, SXM: 1,979 TFLOP/s with sparsity, so that half of it is dense, 80 GB,
    # NVLink 900 GB/s in both directions together; a DGX H100 has 8 of them, a network card of 400 Gbit/s for
    # each, and 112 cores.
    Chip("H100", 989e12, 80e9, 450e9, 50e9, 8, 14),
)


class Case(NamedTuple):
    """A training step whose scaling is asked for."""

    name: str
    config: ConfigDict
    per_chip: int  # episodes


class Step(NamedTuple):
    """What was found out about it."""

    case: Case
    costs: Costs
    sent: list[Collective]

    @property
    def sent_bytes(self) -> int:
        """Bytes that each chip adds up with all others in a step."""
        return sum(one.bytes for one in self.sent)

    @property
    def photos(self) -> int:
        """Photos that each chip reads in a step."""
        train = self.case.config.train
        return self.case.per_chip * (train.ways * train.shots + train.queries)


class Times(NamedTuple):
    """Seconds of a step, each for itself."""

    compute: float
    send: float
    load: float

    @property
    def wall(self) -> str:
        """What takes longest."""
        return max(zip(self, ("compute", "links", "host"), strict=True))[1]


def begun(config: ConfigDict) -> tuple[Any, optax.GradientTransformation, Shapes, Shapes]:
    """Returns the method, its optimiser, and the shapes of its state and of what is never trained."""
    method = build.method(config.model)
    schedule, _ = learning_rate(optimizer_of(config), max(1, config.train.steps))
    optimizer = make_optimizer(optimizer_of(config), schedule)
    learned, fixed = split(method, variables_of(method))
    return method, optimizer, jax.eval_shape(lambda: make_state(learned, optimizer)), fixed


def compiled(case: Case, devices: int) -> Step:
    """Compiles a step for the first virtual devices."""
    config = case.config
    method, optimizer, state, fixed = begun(config)
    batch = stacked(episode_of(config, method), devices, case.per_chip)
    step = make_train_step(method, optimizer, config.seed)
    found, program = compiled_costs(step, stacked(state, devices), stacked(fixed, devices), batch)
    return Step(case, found, collectives(program.as_text() or ""))


def times(step: Step, chip: Chip, chips: int, utilisation: float = USUAL) -> Times:
    """Returns how long each part of a step takes on so many chips."""
    ring = 2 * (chips - 1) / chips * step.sent_bytes / chip.link(chips)
    load = step.photos * PHOTO_MS / 1000 / chip.cores
    return Times(step.costs.flops / (chip.peak * utilisation), ring, load)


def cases(quick: bool) -> list[Case]:
    """Returns the steps; of the quick form a small one."""
    if quick:
        small = {"model.backbone": "resnet50", "model.backbone_options.stages": 1, "train.size": 33}
        return [Case("PRNet, small, 33", config_of("prnet_coco", small), 1)]
    larger = {"train.size": 641}
    return [
        Case("PRNet, ResNet-101, 417", config_of("prnet_coco", {}), 1),
        Case("DPNet, ResNet-50, 321", config_of("dpnet_pascal", {}), 4),
        Case("DPNet, ResNet-50, 641", config_of("dpnet_pascal", larger), 4),
    ]


def config_of(name: str, values: Mapping[str, object]) -> ConfigDict:
    """Returns a configuration of the folder configs, some of its fields set."""
    config = load_config(CONFIGS / f"{name}.py")
    return set_fields(config, [f"--config.{field}={value}" for field, value in values.items()])


def steps_table(steps: Sequence[Step]) -> list[str]:
    """Returns what steps cost each chip, as Markdown."""
    lines = [
        "| step | episodes a chip | computes | sends | in | reads | memory (cpu's plan) |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in steps:
        read = f"{one.photos} photos, {in_bytes(one.photos * PHOTO_BYTES)}"
        lines.append(
            f"| {one.case.name} | {one.case.per_chip} | {in_flops(one.costs.flops)} | "
            f"{in_bytes(one.sent_bytes)} | {len(one.sent)} calls | {read} | {in_bytes(one.costs.memory)} |"
        )
    return lines


def wall_table(step: Step) -> list[str]:
    """Returns the times of a step on all chips, as Markdown."""
    lines = [
        f"{step.case.name}, at {USUAL:.0%} of the peak:",
        "",
        "| chip | chips | batch | compute | links | host | wall | steps/s | photos/s a host's core | cores a "
        "chip | GB/s from disk, all |",
        "|---|---:|---:|---:|---:|---:|---|---:|---:|---:|---:|",
    ]
    for chip in CHIPS:
        for chips in COUNTS:
            parts = times(step, chip, chips)
            rate = 1 / max(parts)
            needed = step.photos * PHOTO_MS / 1000 / max(parts.compute, parts.send)
            lines.append(
                f"| {chip.name} | {chips} | {chips * step.case.per_chip} | {_ms(parts.compute)} | "
                f"{_ms(parts.send)} | {_ms(parts.load)} | {parts.wall} | {rate:.1f} | "
                f"{rate * step.photos / chip.cores:.1f} | {math.ceil(needed)} | "
                f"{rate * step.photos * chips * PHOTO_BYTES / 1e9:.2f} |"
            )
    return lines


def utilisation_table(steps: Sequence[Step], chips: int) -> list[str]:
    """Returns where the wall is as the share of the peak varies, as Markdown."""
    shares = " | ".join(f"{share:.0%}" for share in UTILISATIONS)
    lines = [f"| step on {chips} chips | chip | {shares} |", f"|---|---|{'---|' * len(UTILISATIONS)}"]
    for step in steps:
        for chip in CHIPS:
            found = [times(step, chip, chips, share) for share in UTILISATIONS]
            cells = " | ".join(f"{one.wall}, {_ms(max(one))}" for one in found)
            lines.append(f"| {step.case.name} | {chip.name} | {cells} |")
    return lines


def sent_table(steps: Mapping[int, Step]) -> list[str]:
    """Returns what a step sends on more and more virtual devices, as Markdown."""
    lines = ["| virtual devices | calls | arrays | bytes |", "|---:|---:|---:|---:|"]
    for devices, step in steps.items():
        arrays = sum(one.arrays for one in step.sent)
        lines.append(f"| {devices} | {len(step.sent)} | {arrays} | {step.sent_bytes:,} |")
    return lines


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small network, on up to 8 devices")
    options = parser.parse_args(argv)
    if not options.quick:
        jax.config.update("jax_num_cpu_devices", max(COUNTS))
    counts = (2, 4, 8) if options.quick else (2, 4, *COUNTS)
    (small,) = cases(quick=True)
    smalls = {devices: compiled(small, devices) for devices in counts}
    steps = [smalls[8]] if options.quick else [compiled(case, 8) for case in cases(quick=False)]
    parts = [sent_table(smalls), steps_table(steps), *map(wall_table, steps), utilisation_table(steps, 64)]
    print("\n\n".join("\n".join(lines) for lines in parts))


if __name__ == "__main__":
    sys.exit(main())
