"""The table of foundation backbones: each one's frozen features under each method's head."""

from dataclasses import dataclass

from fsjax.errors import InputError
from fsjax.models.backbones.named import NAMED, Named, meant
from fsjax.reproduction.jobs import Job, Training, Untrained, evaluated
from fsjax.reproduction.plans import SHOTS, Cell, Plan
from fsjax.reproduction.published import Column, Paper, PublishedRow, PublishedTable
from fsjax.reproduction.scales import COCO, FOUNDATION, PASCAL, Scale

NAME = f"{FOUNDATION}/table1"


@dataclass(frozen=True)
class Method:
    """A method of the table.

    Attributes:
      name: for people.
      config: the beginning of its configurations' names, behind which comes _coco, _pascal or _folders.
      row: of its results.
      trained: whether it is trained; others are evaluated as they are.
    """

    name: str
    config: str
    row: str
    trained: bool = False


METHODS = {
    "PRNet, prototypes": Method("PRNet", "prnet_dinov2", "fusion0"),
    "PRNet, + fusion": Method("PRNet", "prnet_dinov2", "fusion2"),
    "PRNet, + Gram": Method("PRNet", "prnet_dinov2", "fusion0 gram=true"),
    "PRNet, + both": Method("PRNet", "prnet_dinov2", "fusion2 gram=true"),
    "FSSDINO": Method("PRNet", "prnet_dinov2", "fssdino"),  # over the same features, in the same pass
    "DPNet": Method("DPNet", "dpnet_dinov2", "master", trained=True),
}
"""By the labels of their rows."""

_DATA = {COCO: "coco", PASCAL: "pascal"}


def table(scale: Scale) -> PublishedTable:
    """Returns the table without numbers: nobody has printed it."""
    columns = _columns(scale)
    return PublishedTable(
        name=NAME,
        paper=Paper("Foundation backbones", "Foundation backbones under both papers' heads", "nobody's"),
        caption="Mean-IoU in percent over the folds, 1-way, of frozen backbones by name under each head.",
        metric="mean-IoU",
        labels=("Backbone", "Method"),
        columns=columns,
        rows=tuple(
            PublishedRow((name, method), _key(name, method), dict.fromkeys(keys), frozenset(), {})
            for keys in [[column.key for column in columns]]
            for name in NAMED
            for method in METHODS
        ),
        notes=(
            "PRNet and FSSDINO learn nothing; DPNet's head is trained on the other folds' classes, and all "
            "are scored by one protocol, which is not the one that FSSDINO is published under. It "
            "compares the others' features, after the last normalisation; its own code takes those before. "
            "Backbones saw many more photos than ImageNet's: not comparable with the papers' ResNets.",
            "Weights: DINOv2's are under the Apache-2.0 licence, DINOv3's under the DINOv3 License.",
        ),
    )


def plan(scale: Scale) -> Plan:
    """Returns the plan of the table, of which only `scale.backbones` are run.

    Raises:
      InputError: at the embedded benchmark's scale, or where one backbone is given to all.
    """
    if scale.name == "shapes":
        raise InputError(
            f"{FOUNDATION} is a table of photos: give --scale=paper, or --scale=own and --data=NAME."
        )
    for field in scale.given:
        if field.startswith("--config.model.backbone="):
            raise InputError("model.backbone tells one row from another: leave it out, or give --backbones.")
    cells = {
        (_key(name, label), column.key): Cell(
            tuple(_job(scale, name, method, column, fold) for fold in scale.folds),
            method.row,
            over_folds=True,
        )
        for name in NAMED
        for label, method in METHODS.items()
        for column in _columns(scale)
    }
    asked = [_key(name, label) for name in scale.backbones or NAMED for label in METHODS]
    return Plan(NAME, cells, left=frozenset(place for place in cells if place[0] not in asked))


def chosen(text: str) -> tuple[str, ...]:
    """Returns the backbones that a text names, with commas between; none for all.

    Raises:
      InputError: there is no such name.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in NAMED:
            likely = f"{meant(name)} is likely meant; " if meant(name) else ""
            raise InputError(f"--backbones holds {name!r}: {likely}choose from {', '.join(NAMED)}.")
    return names


def _columns(scale: Scale) -> tuple[Column, ...]:
    """Returns the columns: the field's two data sets, or one's own by its name."""
    groups = (scale.data_name,) if scale.data_name else tuple(_DATA)
    return tuple(Column(group, f"{shots}-shot", "score") for group in groups for shots in SHOTS)


def _key(name: str, method: str) -> str:
    return f"{name}, {method}"


def _job(scale: Scale, name: str, method: Method, column: Column, fold: int) -> Job:
    """Returns what evaluates a method on a backbone: eval.py on the weights, or on what is trained."""
    place, folder, shots = scale.name, "folders", int(column.name.partition("-")[0])
    if place == "paper":
        place, folder = column.group, _DATA[column.group]
    config = f"configs/{method.config}_{folder}.py:fold={fold}"
    title = f"{method.name} {name} {place} fold {fold}"
    fields = (*scale.data, *_fields(name, NAMED[name]), *scale.given)
    if method.trained:
        return evaluated(Training(title, config, fields, fold), f"{shots}-shot", shots=shots)
    own = [field for field in fields if not field.startswith("--config.train.")]
    return Untrained(f"{title}, {shots}-shot", config, (*own, f"--config.eval.shots={shots}"), fold)


def _fields(name: str, known: Named) -> list[str]:
    """Returns the fields of a backbone; the configurations' own size is DINOv2's."""
    fields = [f"--config.model.backbone={known.backbone}", f"--config.model.weights={name}"]
    if known.registers:
        fields += ["--config.model.backbone_options.registers=True"]
    if known.side != DINOV2_SIDE:
        fields += [f"--config.train.size={known.side}", f"--config.eval.size={known.side}"]
    return fields


DINOV2_SIDE = NAMED["dinov2-small"].side
