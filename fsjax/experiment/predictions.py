"""Predictions of other programs, scored by the same metric on the same episodes as our own."""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from fsjax import config as configuration
from fsjax.data import manifest
from fsjax.data.images import InputSettings
from fsjax.data.sampling import EpisodeSpec
from fsjax.data.source import Source
from fsjax.errors import InputError
from fsjax.evaluation import report
from fsjax.evaluation.contents import told
from fsjax.evaluation.metrics import Record
from fsjax.evaluation.predictions import Counted, count_predictions
from fsjax.evaluation.provenance import provenance
from fsjax.evaluation.summary import Description, Scored, summaries
from fsjax.experiment.alone import alone
from fsjax.experiment.departures import departures
from fsjax.experiment.evaluation import Results
from fsjax.experiment.settings import read_episodes

PROTOCOL = ("input", "size", "label", "void", "counting")
"""Fields of `config.eval` that decide how given predictions are scored."""

DIVIDERS = "|:;\n\r"
"""What divides names in tables and in flags."""


def config_of_manifest(path: str | Path) -> ConfigDict:
    """Returns the configuration of a manifest's data and labels, with the table's defaults elsewhere.

    Raises:
      InputError: the file is missing, or no manifest.
    """
    header, config = manifest.read_header(path), configuration.default()
    config.data.name, config.data.test_list = header.data_set, header.split
    config.fold = config.fold if header.fold is None else header.fold
    said = re.fullmatch(r"(input|original) size, void (ignore|background)", header.label_policy)
    if said:
        config.eval.label, config.eval.void = said.groups()
    return config


def score_predictions(
    config: ConfigDict,
    source: Source,
    folder: str | Path,
    episodes: str | Path,
    out: str | Path,
    *,
    name: str = "",
) -> Results:
    """Scores a folder of masks that another program predicted, see `fsjax.evaluation.predictions`.

    Writes `manifest.jsonl`, `results.json`, `results.md` and `episodes.jsonl`.

    Args:
      config: of its `eval` the fields of `PROTOCOL` count, and `protocol` as the preset; the fold is the
        manifest's.
      source: the data that the manifest was drawn from.
      folder: of the PNGs.
      episodes: the manifest.
      out: the folder for what is written.
      name: of the row; by default the folder's.

    Raises:
      InputError: for a manifest of other data, a name that tables cannot hold, or as `count_predictions`.
    """
    folder, out = Path(folder), Path(out)
    name = _checked(name or folder.resolve().name)
    header, specs = read_episodes(episodes, source)
    settings = InputSettings(size=config.eval.size, input=config.eval.input, label=config.eval.label)
    began = time.monotonic()
    counted = count_predictions(folder, specs, source, settings, threads=config.data.threads)
    seconds = time.monotonic() - began
    records = _records(name, specs, counted, source, len(specs) // header.runs)
    sha256 = manifest.digest(specs, source.ids)
    scored = [Scored(name, records, sha256, seconds)]
    departed = departures(config, header, len(specs) // header.runs)
    about = _description(config, source, header, sha256, folder, counted, departed)
    rows = summaries(scored, about, ())
    with alone(out):
        manifest.write(out / "manifest.jsonl", header, specs, source.ids)
        report.write_report(out, about, rows, records)
    return Results(about, scored, rows)


def _checked(name: str) -> str:
    """Returns the name of a row, which tables and flags can hold."""
    if not name.strip() or set(name) & set(DIVIDERS):
        raise InputError(f"{name!r} is no name for a row: give one without | : and ; by --name.")
    return name


def _records(
    name: str, specs: list[EpisodeSpec], counted: Counted, source: Source, run_length: int
) -> list[Record]:
    return [
        {
            "row": name,
            "run": place // run_length,
            "index": spec.index,
            "class_ids": list(spec.class_ids),
            "support": [[source.ids[position] for position in way] for way in spec.support],
            "shown": list(spec.shown),
            "query": [source.ids[position] for position in spec.query],
            "confusion": matrices.tolist(),
            **told(contents),
        }
        for place, (spec, matrices, contents) in enumerate(
            zip(specs, counted.matrices, counted.contents, strict=True)
        )
    ]


def _description(
    config: ConfigDict,
    source: Source,
    header: manifest.Header,
    sha256: str,
    folder: Path,
    counted: Counted,
    departed: Mapping[str, tuple[Any, Any]],
) -> Description:
    part = {field: config.eval[field] for field in PROTOCOL}
    of_input = ("input", "size") if part["label"] == "input" else ()  # else nobody knows what they were
    unknown = {"eval.support_void", "eval.input", "eval.size"} - {f"eval.{field}" for field in of_input}
    return Description(
        title=source.title, data_set=source.name, version=source.version, split=source.split,
        fold=header.fold, classes={class_id: name for name, class_id in header.classes.items()},
        protocol={
            "ways": header.ways, "shots": header.shots, "queries": header.queries,
            "policy": header.policy, "eligibility": header.eligibility,
            **{field: part[field] for field in (*of_input, "label")},
        },
        preset=config.eval.protocol,
        departures={name: pair for name, pair in departed.items() if name not in unknown},
        void=part["void"], counting=part["counting"], seed=header.seed, tested_images_in_training=None,
        manifest_sha256=sha256, provenance=provenance(),
        config={"fold": header.fold, "data": config.data.to_dict(), "eval": part},
        predictions={"folder": str(folder), "masks": counted.masks, "sha256": counted.sha256},
    )  # fmt: skip
