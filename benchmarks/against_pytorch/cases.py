"""What is timed: named programs of fsjax, and their configurations. Imports neither library."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fsjax.errors import InputError

SMALL = ("model.backbone=small", "model.backbone_options.widths=8,8,16", "train.size=33", "eval.size=33")
FROZEN = ("model.backbone_options.batch_statistics=false",)
NARROW = (
    "model.dpnet.width=8", "model.dpnet.dis_hidden=8", "model.dpnet.pim_hidden=4", "model.dpnet.rates=1,2",
)  # fmt: skip
TO_STAGE_3 = ("model.backbone=resnet50", "model.backbone_options.stages=3", "eval.size=321")
DEFAULT_QUICK = (*SMALL, *FROZEN)


@dataclass(frozen=True)
class Case:
    """A program that both libraries run.

    Attributes:
      name: of the case.
      kind: which program: step, forward, episode, cycle or vit.
      what: it in words, for the table.
      config: the configuration's file in configs, without its ending.
      settings: fields of it that are changed, "field=value" each.
      quick: the fields that are changed for a form of a moment.
      adapts: of an episode: whether the network is tuned to its supports first, as eval.adapt says.
      photos: of a forward pass.
      cells: along a side of the maps that are compared (cycle).
      channels: of those maps.
      usual: whether it is timed where no case is named.
    """

    name: str
    kind: str
    what: str
    config: str = "prnet_pascal"
    settings: tuple[str, ...] = ()
    quick: tuple[str, ...] = DEFAULT_QUICK
    adapts: bool = False
    photos: int = 2
    cells: int = 81
    channels: int = 1024
    usual: bool = True

    @property
    def calls(self) -> int:
        """How many calls values are compared after: two steps, because a warm-up's first rate is 0."""
        return 2 if self.kind == "step" else 1

    def small(self) -> "Case":
        """Returns the form that takes a moment."""
        kept = (one for one in self.settings if not one.startswith("model.backbone"))
        return replace(
            self, settings=(*kept, *self.quick), cells=min(self.cells, 9),
            channels=min(self.channels, 16),
        )  # fmt: skip

    def without_chance(self) -> "Case":
        """Returns what is compared: it without dropout, which either library draws in its own way."""
        if self.kind != "step" or "dpnet" not in self.config:
            return self
        return replace(self, settings=(*self.settings, "model.dpnet.dropout=0"))

    def write(self, path: Path) -> None:
        """Writes it as JSON."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "Case":
        """Returns what `write` wrote."""
        found = json.loads(path.read_text())
        lists = {name: tuple(value) for name, value in found.items() if isinstance(value, list)}
        return cls(**{**found, **lists})


def _episodes() -> list[Case]:
    found = []
    for shots in (1, 5):
        settings = (*TO_STAGE_3, f"eval.shots={shots}")
        what = f"episode evaluated, ResNet-50 to stage 3, 321, {shots}-shot"
        found.append(Case(f"evaluated_episode_{shots}shot", "episode", what, settings=settings))
    for parameters in ("all", "last_stage"):
        settings = (*TO_STAGE_3, "eval.shots=1", f"eval.adapt.parameters={parameters}")
        what = f"the same 1-shot, adapted in 5 steps: {parameters}"
        found.append(Case(f"adapted_episode_{parameters}", "episode", what, settings=settings, adapts=True))
    return found


def _dpnet() -> list[Case]:
    quick = (*SMALL, *NARROW)
    config, what = "dpnet_pascal", "DPNet's step, ResNet-50 to stage 3"
    large = ("train.size=641",)
    cached = ("train.cached_features=true", "train.crop=1", "train.rotate=0")
    return [
        Case("dpnet_step_321", "step", f"{what}, 321, batch 4", config, (), quick),
        Case("dpnet_step_321_cached", "step", "the same from cached features", config, cached, quick),
        Case("dpnet_step_641", "step", f"{what}, 641, batch 4", config, large, quick, usual=False),
    ]


def _vit(size: str) -> Case:
    what, quick = f"features of a photo, DINOv2-{size}, 518", ("model.backbone=dinov2_small", "train.size=28")
    settings = (f"model.backbone=dinov2_{size}",)
    return Case(f"vit_{size}", "vit", what, "prnet_dinov2_pascal", settings, quick, photos=1)


_R50, _R101 = ("model.backbone=resnet50", "train.size=321"), ("model.backbone=resnet101", "train.size=417")

CASES = {
    case.name: case
    for case in (
        Case("prnet_step_r50", "step", "PRNet's step, ResNet-50, 321, one episode", settings=_R50),
        Case("prnet_step_r101", "step", "PRNet's step, ResNet-101, 417, one episode", settings=_R101),
        Case("forward_r50", "forward", "features of 2 photos, ResNet-50, 321", settings=_R50),
        Case("forward_r101", "forward", "features of 2 photos, ResNet-101, 417", settings=_R101),
        *_episodes(),
        Case(
            "embedded_step", "step", "PRNet's step of the embedded benchmark", "prnet_shapes",
            quick=(*SMALL[:2], "train.size=32", "train.ways=2", "train.queries=2"),
        ),
        *_dpnet(),
        Case("cycle", "cycle", "cycle comparison, 81 x 81 cells, 1,024 channels", "dpnet_pascal"),
        *map(_vit, ("small", "base")),
    )
}  # fmt: skip
"""By name."""


def chosen(names: str) -> list[Case]:
    """Returns the cases of some names with commas between them; of "" those that are usual.

    Raises:
      InputError: for a name that no case has.
    """
    wanted = names.split(",") if names else [name for name, case in CASES.items() if case.usual]
    unknown = [name for name in wanted if name not in CASES]
    if unknown:
        raise InputError(f"There is no case {unknown[0]!r}: choose from {', '.join(CASES)}.")
    return [CASES[name] for name in wanted]
