"""What an evaluation says: of itself as a whole, and of each row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fsjax.evaluation.metrics import Record, scores
from fsjax.evaluation.paired import Comparison, common, paired_difference


@dataclass(frozen=True)
class Scored:
    """One row before it is summarised."""

    name: str
    records: Sequence[Record]
    manifest: str  # sha256 of the row's episodes
    seconds: float  # of the pass in which it was computed, compilation included


@dataclass(frozen=True, kw_only=True)
class Description:
    """What all rows of an evaluation share; mappings hold what JSON can hold.

    Attributes:
      title: of the data set, for people.
      data_set: its name.
      version: of the data.
      split: of the data.
      fold: whose classes are tested.
      classes: id and name of each tested class.
      preset: the name of the protocol that it follows, "" of none.
      departures: the fields in which it departs from that, with the preset's value and its own.
      protocol: how episodes are drawn and read: ways, shots, queries, policy, eligibility, folds, input,
        size, label, scales, support_void.
      void: see `metrics.count`.
      counting: see `metrics.count`.
      settings: of the method's segmentation.
      seed: of the episodes.
      step: of the checkpoint; None without one.
      augmentation: of the training, in words.
      tested_images_in_training: how many of the test images training saw, with their classes as background;
        None where that is not known, the training's images being others than the evaluation's.
      trained_classes: names of tested classes that were trained on, which every table marks.
      selection: how the checkpoint was selected by score: "by" (base_val or novel_fold), "step", "score" (the
        mean-IoU of "row" in percent), "episodes", "sha256" (of these), and whether it was "used", no step
        having been named; None where the run selects none.
      selected_classes: names of tested classes by whose scores it was chosen, which every table marks.
      checkpoint_sha256: of the checkpoint's folder.
      weights_sha256: of the file of pretrained weights.
      manifest_sha256: of the episodes.
      config: the whole configuration.
      provenance: of `provenance.provenance`.
      predictions: of masks that another program predicted: their folder, how many, and their sha256.
    """

    title: str
    data_set: str
    version: str
    split: str
    fold: int | None
    classes: Mapping[int, str]
    protocol: Mapping[str, Any]
    void: str
    counting: str
    seed: int
    preset: str = ""
    departures: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None
    augmentation: str = ""
    tested_images_in_training: int | None = 0
    trained_classes: tuple[str, ...] = ()
    selection: Mapping[str, Any] | None = None
    selected_classes: tuple[str, ...] = ()
    checkpoint_sha256: str | None = None
    weights_sha256: str | None = None
    manifest_sha256: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    predictions: Mapping[str, Any] | None = None

    def header(self) -> dict[str, Any]:
        """Returns what stands in results.json before the rows."""
        policies = {"void": self.void, "counting": self.counting}
        external = {"predictions": dict(self.predictions)} if self.predictions else {}
        return {
            "title": self.title,
            "data_set": self.data_set,
            "version": self.version,
            "split": self.split,
            "fold": self.fold,
            "classes": list(self.classes.values()),
            "class_ids": list(self.classes),
            "trained_classes": list(self.trained_classes),
            "preset": self.preset,
            "departures": {
                name: {"preset": preset, "here": here} for name, (preset, here) in self.departures.items()
            },
            "selected_classes": list(self.selected_classes),
            "selection": dict(self.selection) if self.selection else None,
            "protocol": {**self.protocol, **policies, **self.settings},
            "step": self.step,
            "augmentation": self.augmentation,
            "tested_images_in_training": self.tested_images_in_training,
            "checkpoint_sha256": self.checkpoint_sha256,
            "weights_sha256": self.weights_sha256,
            "manifest_sha256": self.manifest_sha256,
            **external,
            "provenance": dict(self.provenance),
            "config": dict(self.config),
        }


def summaries(
    scored: Sequence[Scored], description: Description, comparisons: Sequence[Comparison]
) -> list[dict[str, Any]]:
    """Returns the rows of results.json.

    Args:
      scored: the rows.
      description: for the classes, and how they are counted.
      comparisons: where both rows are there, the first is compared with the second in pairs of episodes.

    Raises:
      InputError: where two rows that are compared have other episodes (see `paired.paired_difference`).
    """
    counted = {"void": description.void, "counting": description.counting}
    rows = {row.name: _summary(row, description) for row in scored}
    records = {row.name: row.records for row in scored}
    for pair in comparisons:
        if pair.row in records and pair.other in records:
            row, other = records[pair.row], records[pair.other]
            other = common(other, row) if pair.restricted else other
            found = paired_difference(row, other, description.classes, **counted)
            rows[pair.row]["against"].append({"row": pair.other, **found})
    return list(rows.values())


def _summary(row: Scored, description: Description) -> dict[str, Any]:
    """Returns a row of results.json before comparisons; its own scores are one policy's of `scores`."""
    found = scores(row.records, description.classes)
    own = next(s for s in found if (s["void"], s["counting"]) == (description.void, description.counting))
    return {
        "name": row.name,
        **{name: value for name, value in own.items() if name not in ("void", "counting")},
        "scores": found,
        "trained_classes": list(description.trained_classes),
        "selected_classes": list(description.selected_classes),
        "seed": description.seed,
        "manifest": row.manifest,
        "seconds": row.seconds,
        "against": [],
    }


def augmentation(*, flip: bool, crop: float, rotate: float, features_kept: bool = False) -> str:
    """Returns what a report says of the augmentation in training.

    Args:
      flip: whether photos were mirrored at random.
      crop: how many times they were enlarged at most, and cut back.
      rotate: by how many degrees they were turned at most.
      features_kept: whether the features of each photo were computed once, so that it could only be mirrored.
    """
    parts = ["flips"] * flip
    parts += [f"crops of photos enlarged up to {crop:g} times"] * (crop > 1)
    parts += [f"rotations up to {rotate:g} degrees"] * (rotate > 0)
    if features_kept:
        parts.append("no crops or rotations, because features were cached")
    return ", ".join(parts) or "none"
