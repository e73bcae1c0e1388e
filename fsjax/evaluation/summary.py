"""What results.json says: of the evaluation as a whole, and of each row."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ml_collections import ConfigDict

from fsjax.data.manifest import Header
from fsjax.data.source import Source
from fsjax.evaluation import metrics
from fsjax.evaluation.rows import Scored


def describe(
    config: ConfigDict, sources: Mapping[str, Source], header: Header, step: int | None, settings: Any
) -> dict[str, Any]:
    """Returns what all rows of results.json share.

    Args:
      config: of the evaluation.
      sources: "train" and "test".
      header: of its episodes.
      step: of the training; None without one.
      settings: a dataclass, the method's settings of its segmentation.
    """
    source, part = sources["test"], config.eval
    several = {"scale_average": part.scale_average} if len(part.scales) > 1 else {}
    return {
        "data_set": source.name, "version": source.version, "split": source.split, "fold": header.fold,
        "classes": list(header.classes),
        "protocol": {
            "ways": header.ways, "shots": header.shots, "queries": header.queries,
            "input": part.input, "size": part.size, "label": part.label,
            "scales": list(part.scales), **several, "void": part.void, "counting": part.counting,
            **asdict(settings),
        },
        "step": step,
        "augmentation": "" if step is None else _augmentation(config.train),
        "tested_images_in_training": 0 if step is None else _images_in_both(config, sources),
        "config": json.loads(config.to_json_best_effort()),
    }  # fmt: skip


def summaries(
    scored: Sequence[Scored], header: Header, policies: ConfigDict, comparisons: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Returns the rows of results.json.

    Args:
      scored: the rows.
      header: of their episodes.
      policies: config.eval, for its void and counting (see `metrics.summarize`).
      comparisons: pairs of rows; where both are there, the first is compared with the second in pairs of
        episodes.
    """
    classes = {class_id: name for name, class_id in header.classes.items()}
    counted = {"void": policies.void, "counting": policies.counting}
    records = {row.name: row.records for row in scored}
    rows = [
        {
            "name": row.name,
            **metrics.summarize(row.records, classes, **counted),
            "seed": header.seed,
            "manifest": row.manifest,
            "seconds": row.seconds,
        }
        for row in scored
    ]
    for row in rows:
        row["against"] = [
            {
                "row": other,
                **metrics.paired_difference(records[row["name"]], records[other], classes, **counted),
            }
            for name, other in comparisons
            if name == row["name"] and other in records
        ]
    return rows


def _images_in_both(config: ConfigDict, sources: Mapping[str, Source]) -> int:
    """Returns how many tested images were also seen in training, as background."""
    if config.data.drop_novel_images:
        return 0
    return len(set(sources["test"].ids) & set(sources["train"].ids))


def _augmentation(train: ConfigDict) -> str:
    """Returns what a report says of the augmentation in training."""
    parts = ["flips"] * train.flip
    parts += [f"crops of photos enlarged up to {train.crop:g} times"] * (train.crop > 1)
    parts += [f"rotations up to {train.rotate:g} degrees"] * (train.rotate > 0)
    if train.cached_features:
        parts.append("no crops or rotations, because features were cached")
    return ", ".join(parts) or "none"
