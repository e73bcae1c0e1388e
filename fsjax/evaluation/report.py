"""What an evaluation leaves behind: results.json, results.md and episodes.jsonl.

Every file is written under a temporary name and renamed when it is whole.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fsjax.evaluation.metrics import Record
from fsjax.evaluation.summary import Description
from fsjax.files import replacing

Row = dict[str, Any]

_VOID = {"ignore": "ignored", "background": "as background"}
SELECTED = "†"
"""Marks scores of a checkpoint that was chosen by them."""


def write_report(
    out_dir: Path, description: Description, rows: Sequence[Row], records: Iterable[Record]
) -> None:
    """Writes episodes.jsonl, results.md and, last, results.json.

    Args:
      out_dir: made where it is missing.
      description: what all rows share.
      rows: of `summary.summaries`.
      records: the episodes of all rows; they are streamed.
    """
    out_dir = Path(out_dir)
    sha256 = write_records(out_dir / "episodes.jsonl", records)
    with replacing(out_dir / "results.md") as temporary:
        temporary.write_text(markdown(description, rows), encoding="utf-8")
    header = {**description.header(), "episodes_sha256": sha256}
    written = json.loads(json.dumps({**header, "rows": list(rows)}, allow_nan=False))
    results = json.dumps({**written, "sha256": seal(written)}, indent=2)
    with replacing(out_dir / "results.json") as temporary:
        temporary.write_text(results + "\n", encoding="utf-8")


def seal(header: Mapping[str, Any]) -> str:
    """Returns the sha256 of what results.json says, but for the seconds, which differ each time."""
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in header["rows"]]
    return hashlib.sha256(json.dumps({**header, "rows": rows}, sort_keys=True).encode()).hexdigest()


def write_records(path: Path, records: Iterable[Record]) -> str:
    """Writes one JSON line a record; the file appears when the last one is written. Returns its sha256."""
    sha256 = hashlib.sha256()
    with replacing(path) as temporary, temporary.open("wb") as lines:
        for record in records:
            line = json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
            sha256.update(line)
            lines.write(line)
    return sha256.hexdigest()


def markdown(description: Description, rows: Sequence[Row]) -> str:
    """Returns results.md: what was evaluated, the scores, and the IoU of each class."""
    header = description.header()
    protocol = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in header["protocol"].items())
    lines = [
        f"# {description.title}, {description.split} split, fold {description.fold}",
        "",
        f"- Data: {description.data_set} {description.version}",
        f"- Classes: {', '.join(header['classes'])}",
        *_preset_lines(header),
        f"- Protocol: {protocol}",
        *_training_lines(description),
        *_episode_lines(rows),
        *_provenance_lines(description),
        "",
        "IoU in percent, with 95% bootstrap intervals over episodes.",
        "",
        *_markdown_table([_headings(rows), *map(_cells, rows)]),
        "",
        *comparisons(rows),
        *_other_countings(rows, header["protocol"]),
        *_markdown_table(_class_cells(rows, header["classes"])),
        *(line for mark in _marks(rows) for line in ("", mark)),
    ]
    missing = sorted({name for row in rows for name in row["missing_classes"]})
    if missing:
        lines += ["", f"Classes that never occur (a dash) are left out of the mean: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def comparisons(rows: Sequence[Row]) -> list[str]:
    """Returns a line, and an empty one, for each row that was compared with another on the same episodes."""
    lines = []
    for row in rows:
        for other in row["against"]:
            lines += [
                f"{row['name']} minus {other['row']} on the same {other['episodes']} episodes: "
                f"{difference(other)}",
                "",
            ]
    return lines


def difference(found: Mapping[str, Any]) -> str:
    """Returns a difference with its interval, e.g. "+3.6 (+2.5 to +4.7)"."""
    return f"{_signed(found['difference'])} ({_interval(found['ci95'])})"


def table(rows: Sequence[Row]) -> str:
    """Returns the scores as aligned plain text for the terminal, without a final line end."""
    lines = _aligned([_headings(rows), *map(_cells, rows)], left=1)
    return "\n".join([*lines, "", *comparisons(rows), *_marks(rows)]).rstrip()


def differences_table(found: Sequence[Row]) -> str:
    """Returns what `results.differences` found, as aligned plain text without a final line end.

    Where all have a "folder", it is the first column.
    """
    folder = ["folder"] if all("folder" in one for one in found) else []
    cells = [[*folder, "row", "minus", "mean-IoU", "other", "difference", "95% interval", "episodes"]]
    for one in found:
        means = _number(one["mean_iou"]), _number(one["other_mean_iou"])
        apart = _signed(one["difference"]), _interval(one["ci95"]), f"{one['episodes']:,}"
        cells.append([*(one[name] for name in folder), one["row"], one["other_row"], *means, *apart])
    return "\n".join(_aligned(cells, left=len(folder) + 2))


def _signed(points: float | None) -> str:
    return "-" if points is None else f"{round(points, 1) + 0.0:+.1f}"  # no -0.0


def _interval(bounds: Sequence[float] | None) -> str:
    return "-" if bounds is None else " to ".join(map(_signed, bounds))


def _aligned(cells: Sequence[Sequence[str]], left: int) -> list[str]:
    """Returns lines of columns, the first ones set to the left; the first line is a heading, underlined."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        sides = [str.ljust] * left + [str.rjust] * (len(row) - left)
        padded = [side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)]
        lines.append("  ".join(padded).rstrip())
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _headings(rows: Sequence[Row]) -> list[str]:
    mark = "*" * bool(_trained(rows)) + SELECTED * bool(_selected(rows))
    return ["row", f"mean-IoU{mark}", "95% interval", f"binary-IoU{mark}", "episodes", "seconds"]


def _trained(rows: Sequence[Row]) -> list[str]:
    """Returns the names of the tested classes that were trained on."""
    return sorted({name for row in rows for name in row["trained_classes"]})


def _selected(rows: Sequence[Row]) -> list[str]:
    """Returns the names of the tested classes by whose scores the checkpoint was chosen."""
    return sorted({name for row in rows for name in row["selected_classes"]})


def selected_in_words(names: Sequence[str]) -> str:
    """Returns what every table says of tested classes by whose scores the checkpoint was chosen."""
    return (
        f"Selected on the tested classes ({SELECTED}): {', '.join(names)}. The scores are too high: not "
        "comparable with those of a last checkpoint, or of one selected by base_val."
    )


def _marks(rows: Sequence[Row]) -> list[str]:
    """Returns the lines that explain the marks, where there are any."""
    trained, selected = _trained(rows), _selected(rows)
    marks = [f"Trained on (*): {', '.join(trained)}. This is no test on new classes."] if trained else []
    return [*marks, selected_in_words(selected)] if selected else marks


def _cells(row: Row) -> list[str]:
    mean = _number(row["mean_iou"])
    low, high = row["ci95"] or (None, None)
    episodes = str(row["episodes"])
    if row["runs"] > 1:
        mean += f" ± {_number(row['std'])}"
        episodes += f" in {row['runs']} runs"
    interval = f"{_number(low)} to {_number(high)}"
    return [row["name"], mean, interval, _number(row["binary_iou"]), episodes, _number(row["seconds"])]


def _class_cells(rows: Sequence[Row], classes: Sequence[str]) -> list[list[str]]:
    trained, selected = _trained(rows), _selected(rows)
    names = [name + "*" * (name in trained) + SELECTED * (name in selected) for name in classes]
    scores = [[row["name"], *(_number(row["per_class"][name]) for name in classes)] for row in rows]
    return [["row", *names], *scores]


def _other_countings(rows: Sequence[Row], protocol: Mapping[str, Any]) -> list[str]:
    """Returns the table of the scores that the same predictions have under other policies, if they differ."""
    own = protocol["void"], protocol["counting"]
    columns = {
        (score["void"], score["counting"]): f"void {_VOID[score['void']]}, {score['counting']}"
        for score in rows[0]["scores"]
    }
    by_row = [{(s["void"], s["counting"]): _pair(s) for s in row["scores"]} for row in rows]
    shown = [own]
    for key in columns:
        if all(any(cells[key] != cells[kept] for cells in by_row) for kept in shown):
            shown.append(key)
    if shown == [own]:
        return []
    head = ["row", *(columns[key] for key in shown)]
    body = [[row["name"], *(cells[key] for key in shown)] for row, cells in zip(rows, by_row, strict=True)]
    what = "The same predictions counted otherwise, mean-IoU / binary-IoU; the first column is the one above."
    return [what, "", *_markdown_table([head, *body]), ""]


def _pair(score: Mapping[str, Any]) -> str:
    return f"{_number(score['mean_iou'])} / {_number(score['binary_iou'])}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _preset_lines(header: Mapping[str, Any]) -> list[str]:
    """Says which of the field's protocols is followed, and where not."""
    if not header["preset"]:
        return []
    departures = [
        f"{name} {found['here']} instead of {found['preset']}" for name, found in header["departures"].items()
    ]
    but = f", but {', '.join(departures)}" if departures else " throughout"
    return [f"- Protocol preset: {header['preset']}{but}"]


def _training_lines(description: Description) -> list[str]:
    """Says what was trained, and what of the test was seen in training."""
    if description.predictions:
        masks, sha256 = description.predictions["masks"], description.predictions["sha256"]
        return [
            f"- Predictions: external, {masks} masks of another program, sha256 {sha256}",
            "- What they were trained on is not known",
        ]
    lines = ["- Checkpoint: none" if description.step is None else f"- Checkpoint: step {description.step}"]
    if description.checkpoint_sha256:
        lines[0] += f", sha256 {description.checkpoint_sha256}"
    lines += _selection_lines(description)
    if description.weights_sha256:
        lines.append(f"- Weights: sha256 {description.weights_sha256}")
    if description.augmentation:
        lines.append(f"- Augmentation in training: {description.augmentation}")
    if description.trained_classes:
        lines.append(f"- **Trained on tested classes:** {', '.join(description.trained_classes)}")
    count = description.tested_images_in_training
    if count is None:
        lines.append("- Which test images were also seen in training is not known: it had other images")
    elif count:
        lines.append(f"- {count} of the test images were also seen in training, as background")
    return lines


def _selection_lines(description: Description) -> list[str]:
    """Says how the checkpoint was selected by score, if it was."""
    lines, selection = [], description.selection
    if selection:
        best = (
            f"step {selection['step']} had the highest mean-IoU of {selection['row']}, "
            f"{selection['score']:.1f}, on {selection['episodes']} episodes (sha256 {selection['sha256']})"
        )
        used = "" if selection["used"] else ", not used, as the step was named"
        lines.append(f"- Selection: {selection['by']}{used}; {best}")
    if description.selected_classes:
        lines.append(f"- **Selected on tested classes:** {', '.join(description.selected_classes)}")
    return lines


def _provenance_lines(description: Description) -> list[str]:
    """Says what ran, and on what."""
    made = dict(description.provenance)
    if not made:
        return []
    commit, clean = made.pop("commit"), made.pop("clean")
    device, devices = made.pop("device"), made.pop("devices")
    state = {True: "", False: " with changes", None: ""}[clean]
    source = f" (commit {commit}{state})" if commit else ""
    versions = ", ".join(f"{name} {version}" for name, version in made.items() if name != "fsjax")
    return [f"- Made by: fsjax {made['fsjax']}{source}, {versions}, on {devices} x {device}"]


def _episode_lines(rows: Sequence[Row]) -> list[str]:
    """Says which episodes the rows were scored on, a line for each manifest."""
    names: dict[tuple[int, str], list[str]] = {}
    for row in rows:
        names.setdefault((row["seed"], row["manifest"]), []).append(row["name"])
    lines = []
    for (seed, manifest), of_manifest in names.items():
        rows_named = f" ({', '.join(of_manifest)})" if len(names) > 1 else ""
        lines.append(f"- Episodes: seed {seed}, manifest sha256 {manifest}{rows_named}")
    return lines


def _markdown_table(cells: Sequence[Sequence[str]]) -> list[str]:
    head, *body = ["| " + " | ".join(line) + " |" for line in cells]
    return [head, "|---|" + "---:|" * (len(cells[0]) - 1), *body]
