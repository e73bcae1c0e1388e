"""At which scale the papers' tables are made: their own, the embedded benchmark's, or one's own data's."""

from collections.abc import Mapping
from dataclasses import dataclass

from fsjax.reproduction.jobs import Training

PASCAL, COCO, COCO_CONTIGUOUS = "PASCAL-5i", "COCO-20i", "COCO-20i contiguous"
METHODS = {"prnet": "PRNet", "dpnet": "DPNet"}
FOUNDATION = "foundation"
FOLDS = (0, 1, 2, 3)
STEPS, FOLD_COUNT = "--config.train.steps=", "--config.data.fold_count="
NOT_COMPARABLE = "not comparable with the paper's numbers."

ROWS = {
    "prnet": "--config.eval.rows=fusion0,fusion1,fusion2,adapted",
    "dpnet": "--config.eval.rows=aux,master",
}

SHAPES = {
    "prnet": ("--config.train.steps=300", "--config.eval.adapt_episodes=20"),
    "dpnet": ("--config.train.steps=200",),
}
"""What a training on the embedded benchmark sets, so that a table takes minutes."""

SMALL = (
    "--config.train.size=64", "--config.train.warmup=20", "--config.eval.episodes=100",
    "--config.eval.pictures=0",
)  # fmt: skip


OWNED = (
    "fold", "model.name", "model.dpnet.pim", "model.dpnet.msf", "model.dpnet.ccm", "model.dpnet.lambda1",
    "model.dpnet.lambda2", "model.dpnet.pseudo_prototype", "model.dpnet.aux_only", "eval.ways", "eval.shots",
    "eval.rows", "eval.beta", "eval.scales", "eval.variants", "eval.adapt.steps", "eval.adapt_curve",
    "eval.pictures_of",
)  # fmt: skip
"""Fields that tell cells apart: nobody may give one to all."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How the trainings and evaluations of a table are spelled out.

    Attributes:
      name: "paper", "shapes" or "own".
      configs: names of the configurations for PASCAL-5i and COCO-20i, with a gap for the method's.
      fields: of each method what every training sets, "--config.FIELD=VALUE" each.
      given: the user's own fields, which come last.
      folds: that are run.
      grid_folds: likewise, of tables with many trainings a fold.
      fold_count: how many folds the data have.
      owned: fields that tell cells apart.
      separate: whether each number of ways and shots has a training of its own, as PANet's.
      lends_backbone: whether DPNet takes over the backbone of the fold's PRNet.
      told: of each method what its paper's tables say above the numbers.
      data: what every training and evaluation sets to find a data set of one's own.
      data_name: of that data set; "" at the other scales.
      backbones: of the table of foundation backbones, the names of those that are run; () for all.
    """

    name: str
    configs: tuple[str, str]
    fields: Mapping[str, tuple[str, ...]]
    given: tuple[str, ...]
    folds: tuple[int, ...]
    grid_folds: tuple[int, ...]
    fold_count: int = len(FOLDS)
    owned: tuple[str, ...] = OWNED
    separate: bool = False
    lends_backbone: bool = False
    told: Mapping[str, str]
    data: tuple[str, ...] = ()
    data_name: str = ""
    backbones: tuple[str, ...] = ()

    def header(self, table: str) -> list[str]:
        """Returns what stands above the numbers of a table or figure, by its name."""
        here = self.told.get(table.partition("/")[0])
        given = f"with {' '.join(self.given)}" if self.given else ""
        said = ", ".join(filter(None, [here, given]))
        return [f"{said[0].upper()}{said[1:]}: {NOT_COMPARABLE}"] if said else []

    @property
    def comparable(self) -> bool:
        """Whether scores may be compared with the papers'."""
        return self.name == "paper" and not self.given

    def training(
        self, method: str, data: str, fold: int, *fields: str, ways: int = 1, shots: int = 1, part: str = ""
    ) -> Training:
        """Returns the training of a method on all folds but one.

        Args:
          method: "prnet" or "dpnet".
          data: PASCAL, COCO or COCO_CONTIGUOUS.
          fold: that is held out, from 0.
          fields: of this training, "--config.FIELD=VALUE" each.
          ways: of the episodes that it is meant for.
          shots: likewise.
          part: what is special about it, for people.
        """
        ways, shots = (ways, shots) if self.separate and method == "prnet" else (1, 1)
        sizes = [f"{name}={size}" for name, size in (("ways", ways), ("shots", shots)) if size > 1]
        at_paper, config = self.name == "paper", self.configs[data != PASCAL].format(method)
        names = [METHODS[method], data if at_paper else self.name, f"fold {fold}", *sizes, part]
        split = ["--config.data.split=contiguous"] if at_paper and data == COCO_CONTIGUOUS else []
        return Training(
            name=" ".join(filter(None, names)),
            config=f"configs/{config}.py:{','.join([f'fold={fold}', *sizes])}",
            fields=(*self.fields[method], *split, *fields, *self.given),
            fold=fold, ways=ways, shots=shots,
            backbone=self.training("prnet", data, fold) if self._lent(method) else None,
        )  # fmt: skip

    def _lent(self, method: str) -> bool:
        return method == "dpnet" and self.lends_backbone


def paper(given: tuple[str, ...], folds: tuple[int, ...]) -> Scale:
    """Returns the papers' own scale; with fields of one's own it is no longer comparable."""
    return Scale(
        name="paper", configs=("{}_pascal", "{}_coco"), fields={"prnet": (), "dpnet": ()}, given=given,
        folds=folds, grid_folds=folds, separate=True,
        told={}, owned=(*OWNED, "data.split", "train.ways", "train.shots"),
    )  # fmt: skip


def shapes(given: tuple[str, ...], folds: tuple[int, ...]) -> Scale:
    """Returns the embedded benchmark's scale: minutes for a table, and nothing to compare."""
    fields = {method: (*SMALL, *own, ROWS[method]) for method, own in SHAPES.items()}
    steps = {
        method: f"{_last(STEPS, (*own, *given))} steps of {METHODS[method]}" for method, own in SHAPES.items()
    }
    here = "On the embedded benchmark"
    return Scale(
        name="shapes", configs=("{}_shapes", "{}_shapes"), fields=fields, given=given, folds=folds,
        grid_folds=folds[:1], lends_backbone=True, owned=(*OWNED, "model.weights"),
        told={"prnet": f"{here}, {steps['prnet']}",
              "dpnet": f"{here}, {steps['dpnet']} over {steps['prnet']}"},
    )  # fmt: skip


def own(data: str, given: tuple[str, ...], folds: tuple[int, ...]) -> Scale:
    """Returns the scale of a data set of one's own, prepared under a name.

    Unless `data.fold_count` is given, its classes are dealt into as many folds as the last one asks for, and
    at least two.
    """
    common = (f"--config.data.name={data}", f"{FOLD_COUNT}{max(2, folds[-1] + 1)}")
    return Scale(
        name="own", configs=("{}_folders", "{}_folders"),
        fields={method: (*common, ROWS[method]) for method in METHODS}, given=given, folds=folds,
        grid_folds=folds, told=dict.fromkeys((*METHODS, FOUNDATION), f"On the data set {data}"), data=common,
        data_name=data,
        fold_count=int(_last(FOLD_COUNT, (*common, *given))),
    )  # fmt: skip


def _last(name: str, fields: tuple[str, ...]) -> str:
    """Returns what the last of the fields that begin with a name gives."""
    return next(field.removeprefix(name) for field in reversed(fields) if field.startswith(name))
