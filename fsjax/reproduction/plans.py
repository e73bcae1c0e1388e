"""Which trainings and evaluations each table and figure of the papers is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fsjax.reproduction.jobs import Job, evaluated
from fsjax.reproduction.scales import COCO, COCO_CONTIGUOUS, PASCAL, Scale

SHOTS = (1, 5)
CURVE_STEPS = 10
BETAS = tuple(round(0.1 * i, 1) for i in range(9))
LAMBDAS = ("0", "0.5", "1.0", "1.2")
SCALES = "--config.eval.scales=0.7,1.0,1.3"
"""Table 6 of DPNet: multi-scale inference."""

SHEETS = {"prnet/figure4": ("fusion2", "fusion.png"), "dpnet/figure4": ("master", "branches.png")}
"""Of each figure of episodes the row that they are chosen by, and the evaluation's own picture."""

SWITCHED_OFF = {
    "none": ("pim", "msf", "ccm"),
    "pim": ("msf", "ccm"),
}
"""Rows of DPNet's Table 3, and the parts that their trainings lack."""


@dataclass(frozen=True)
class Cell:
    """A number of a table, or a point of a curve.

    Attributes:
      jobs: whose results hold it.
      row: of their results.
      score: its name there: "mean_iou" or "binary_iou".
      void: how void is counted; "" as the evaluation itself says.
      over_folds: whether it is the mean over the jobs, one a fold.
      parameters: whether it is the number of the first training's parameters instead.
    """

    jobs: tuple[Job, ...]
    row: str
    score: str = "mean_iou"
    void: str = ""
    over_folds: bool = False
    parameters: bool = False


@dataclass(frozen=True)
class Plan:
    """What a table or figure is made of.

    Attributes:
      name: "prnet/table1".
      cells: of a table by row and column; of curves by panel, curve and x, one for each fold.
      sheets: jobs whose pictures it is.
      left: places of cells that are shown if somebody has run them, and not run now.
    """

    name: str
    cells: Mapping[Any, Cell]
    sheets: tuple[Job, ...] = ()
    left: frozenset[Any] = frozenset()

    @property
    def jobs(self) -> list[Job]:
        """All that it needs directly, each once."""
        of_cells = [job for place, cell in self.cells.items() if place not in self.left for job in cell.jobs]
        return list(dict.fromkeys([*of_cells, *self.sheets]))


def plan(name: str, scale: Scale) -> Plan:
    """Returns the plan of a table or figure of PLANS at a scale."""
    return PLANS[name](name, scale)


def _prnet(scale: Scale, data: str, fold: int, ways: int, shots: int) -> Job:
    """Returns what evaluates PRNet; of several ways without adaptation, as in the paper."""
    rows = ("--config.eval.rows=fusion0,fusion1,fusion2",) if ways > 1 else ()
    if scale.separate:
        return scale.training("prnet", data, fold, *rows, ways=ways, shots=shots)
    name = f"{ways}-way {shots}-shot" if ways > 1 else f"{shots}-shot"
    return evaluated(scale.training("prnet", data, fold), name, *rows, ways=ways, shots=shots)


def _prnet_folds(name: str, scale: Scale) -> Plan:
    """PRNet's Tables 1 to 3, fold by fold."""
    rows = {
        "prnet/table1": {"prnet": (PASCAL, 1)},
        "prnet/table2": {"prnet split-A": (COCO_CONTIGUOUS, 1), "prnet split-B": (COCO, 1)},
        "prnet/table3": {"prnet fusion": (PASCAL, 2)},
    }[name]
    return Plan(
        name,
        {
            (row, f"{shots}-shot/fold-{fold + 1}"): Cell(
                (_prnet(scale, data, fold, ways, shots),), "fusion2" if ways > 1 else "fusion2_adapt5"
            )
            for row, (data, ways) in rows.items()
            for shots in SHOTS
            for fold in scale.folds
        },
    )


def _prnet_binary(name: str, scale: Scale) -> Plan:
    """PRNet's Tables 4 and 5: binary-IoU of the runs of Tables 1 and 2, over the folds."""
    rows = {
        "prnet/table4": {"prnet": PASCAL},
        "prnet/table5": {"prnet split-A": COCO_CONTIGUOUS, "prnet split-B": COCO},
    }[name]
    return Plan(
        name,
        {
            (row, f"{shots}-shot"): Cell(
                tuple(_prnet(scale, data, fold, 1, shots) for fold in scale.folds),
                "fusion2_adapt5", "binary_iou", over_folds=True,
            )
            for row, data in rows.items()
            for shots in SHOTS
        },
    )  # fmt: skip


def _adaptation_curve(name: str, scale: Scale) -> Plan:
    """PRNet's Figure 2: the score after every step, from one pass over each fold's episodes."""
    fields = (
        "--config.eval.runs=1", f"--config.eval.adapt.steps={CURVE_STEPS}", "--config.eval.adapt_curve=True",
    )  # fmt: skip
    cells = {}
    for fold in scale.folds:
        training = scale.training("prnet", PASCAL, fold, shots=5)
        job = evaluated(training, "adaptation curve", *fields, shots=5)
        for stage in range(3):
            for step in range(CURVE_STEPS + 1):
                cell = Cell((job,), f"fusion{stage}_adapt{step}")
                cells[f"fusion {stage}", f"fold-{fold + 1}", step] = cell
    return Plan(name, cells)


def _fusion_stages(name: str, scale: Scale) -> Plan:
    """PRNet's Figure 3, without adaptation."""
    return Plan(
        name,
        {
            ("", f"fold-{fold + 1}", stage): Cell((_prnet(scale, PASCAL, fold, 1, 1),), f"fusion{stage}")
            for fold in scale.folds
            for stage in range(3)
        },
    )


def _dpnet(scale: Scale, data: str, fold: int, *, scales: bool = False, shots: int = 1) -> Job:
    name = f"{shots}-shot, 3 scales" if scales else f"{shots}-shot"
    return evaluated(scale.training("dpnet", data, fold), name, *[SCALES] * scales, shots=shots)


def _dpnet_results(name: str, scale: Scale) -> Plan:
    """DPNet's Table 1: the same predictions by CANet's metric and by PFENet's, and the parameters."""
    cells = {}
    for row, void in (("dpnet canet", "background"), ("dpnet pfenet", "ignore")):
        for shots in SHOTS:
            for fold in scale.folds:
                job = _dpnet(scale, PASCAL, fold, scales=True, shots=shots)
                cells[row, f"{shots}-shot/Fold{fold}"] = Cell((job,), "master", void=void)
        trained = scale.training("dpnet", PASCAL, scale.folds[0])
        cells[row, "#Params"] = Cell((trained,), "", parameters=True)
    return Plan(name, cells)


def _dpnet_coco(name: str, scale: Scale) -> Plan:
    """DPNet's Table 2, over the folds."""
    return Plan(
        name,
        {
            ("dpnet", f"{shots}-shot"): Cell(
                tuple(_dpnet(scale, COCO, fold, scales=True, shots=shots) for fold in scale.folds),
                "master",
                over_folds=True,
            )
            for shots in SHOTS
        },
    )


def _dpnet_parts(name: str, scale: Scale) -> Plan:
    """DPNet's Table 3: its last rows are the auxiliary and the master branch of the whole method."""
    cells = {}
    for fold in scale.folds:
        for row, off in SWITCHED_OFF.items():
            fields = [f"--config.model.dpnet.{part}=False" for part in off]
            job = scale.training("dpnet", PASCAL, fold, *fields, part=f"without {', '.join(off)}")
            cells[row, f"Fold{fold}"] = Cell((job,), "master", void="background")
        whole = scale.training("dpnet", PASCAL, fold)
        for row, branch in (("pim msf", "aux"), ("pim msf ccm", "master")):
            cells[row, f"Fold{fold}"] = Cell((whole,), branch, void="background")
    return Plan(name, cells)


def _pseudo_prototypes(name: str, scale: Scale) -> Plan:
    """DPNet's Table 4; its baseline is the auxiliary branch of the whole method, as in Table 3."""
    cells = {}
    for fold in scale.folds:
        whole = scale.training("dpnet", PASCAL, fold)
        for row, branch in (("baseline", "aux"), ("ccm", "master")):
            cells[row, f"Fold{fold}"] = Cell((whole,), branch, void="background")
        for row in ("global", "cosine"):
            field = f"--config.model.dpnet.pseudo_prototype={row}"
            job = scale.training("dpnet", PASCAL, fold, field, part=row)
            cells[row, f"Fold{fold}"] = Cell((job,), "master", void="background")
    return Plan(name, cells)


def _loss_weights(name: str, scale: Scale) -> Plan:
    """DPNet's Table 5, over the folds, with the discriminator's threshold of training at test."""
    beta = "--config.eval.beta=0.5"

    def job(lambda1: str, lambda2: str, fold: int) -> Job:
        if lambda1 == lambda2 == "1.0":
            return evaluated(scale.training("dpnet", PASCAL, fold), "beta 0.5", beta)
        weights = [f"--config.model.dpnet.lambda1={lambda1}", f"--config.model.dpnet.lambda2={lambda2}"]
        part = f"lambda1={lambda1} lambda2={lambda2}"
        return scale.training("dpnet", PASCAL, fold, *weights, beta, part=part)

    return Plan(
        name,
        {
            (f"lambda2={lambda2}", f"lambda1={lambda1}"): Cell(
                tuple(job(lambda1, lambda2, fold) for fold in scale.grid_folds), "master",
                void="background", over_folds=True,
            )
            for lambda2 in LAMBDAS
            for lambda1 in LAMBDAS
        },
    )  # fmt: skip


def _scales(name: str, scale: Scale) -> Plan:
    """DPNet's Table 6: at one scale and at three."""
    return Plan(
        name,
        {
            (f"{shots}-shot {words} MS", f"Fold{fold}"): Cell(
                (_dpnet(scale, PASCAL, fold, scales=scales, shots=shots),), "master", void="background"
            )
            for shots in SHOTS
            for words, scales in (("w/o", False), ("w", True))
            for fold in scale.folds
        },
    )


def _thresholds(name: str, scale: Scale) -> Plan:
    """DPNet's Figure 5: all thresholds at test from one pass over each fold's episodes."""
    field = f"--config.eval.variants={','.join(f'beta={beta}' for beta in BETAS)}"
    cells = {}
    for data in (PASCAL, COCO):
        for fold in scale.folds:
            job = evaluated(scale.training("dpnet", data, fold), "beta curve", field)
            for beta in BETAS:
                cell = Cell((job,), f"master beta={beta}", void="background")
                cells[data, f"Fold{fold}", beta] = cell
    return Plan(name, cells)


def _pictures(name: str, scale: Scale) -> Plan:
    """PRNet's and DPNet's Figures 4: episodes of a fold's evaluation, best, median and worst."""
    method = name.partition("/")[0]
    fields = ["--config.eval.runs=1", "--config.eval.pictures=6", "--config.eval.pictures_of=spread"]
    fields += ["--config.eval.rows=fusion0,fusion1,fusion2"] if method == "prnet" else []
    datas = (PASCAL, COCO) if method == "prnet" else (PASCAL,)
    _, picture = SHEETS[name]
    jobs = (
        evaluated(scale.training(method, data, scale.folds[0]), "pictures", *fields, pictures=(picture,))
        for data in datas
    )
    return Plan(name, {}, tuple(dict.fromkeys(jobs)))


PLANS: dict[str, Callable[[str, Scale], Plan]] = {
    "prnet/table1": _prnet_folds,
    "prnet/table2": _prnet_folds,
    "prnet/table3": _prnet_folds,
    "prnet/table4": _prnet_binary,
    "prnet/table5": _prnet_binary,
    "prnet/figure2": _adaptation_curve,
    "prnet/figure3": _fusion_stages,
    "prnet/figure4": _pictures,
    "dpnet/table1": _dpnet_results,
    "dpnet/table2": _dpnet_coco,
    "dpnet/table3": _dpnet_parts,
    "dpnet/table4": _pseudo_prototypes,
    "dpnet/table5": _loss_weights,
    "dpnet/table6": _scales,
    "dpnet/figure4": _pictures,
    "dpnet/figure5": _thresholds,
}
"""All tables and figures that are made, by name."""
