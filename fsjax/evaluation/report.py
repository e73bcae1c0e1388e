"""What an evaluation leaves behind: results.json, results.md and episodes.jsonl.

Every file is written under a temporary name and renamed when it is whole.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from fsjax.errors import InputError
from fsjax.evaluation.metrics import Record
from fsjax.files import replacing


def write_report(out_dir: Path, header: dict, rows: Sequence[dict], records: Iterable[Record]) -> None:
    """Writes episodes.jsonl, results.md and, last, results.json.

    Args:
      out_dir: made where it is missing.
      header: what all rows share: data_set, version, split, fold, classes (names), protocol (a dict of
        input, size, label, void, counting and the like), step (of the checkpoint; None without one),
        augmentation (of the training, in words), tested_images_in_training, config; whatever else it holds
        is copied into results.json.
      rows: of `metrics.summarize`, each with name, seed, manifest (sha256), seconds and against (the rows
        that it was compared with) added.
      records: the episodes of all rows; they are streamed.
    """
    out_dir = Path(out_dir)
    write_records(out_dir / "episodes.jsonl", records)
    with replacing(out_dir / "results.md") as temporary:
        temporary.write_text(markdown(header, rows), encoding="utf-8")
    results = json.dumps({**header, "rows": list(rows)}, indent=2, allow_nan=False)
    with replacing(out_dir / "results.json") as temporary:
        temporary.write_text(results + "\n", encoding="utf-8")


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Writes one JSON line a record; the file appears when the last one is written."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for record in records:
            lines.write(json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n")


def read_records(path: Path) -> list[Record]:
    """Reads episodes.jsonl.

    Raises:
      InputError: the file is missing or a line is not an episode; the message names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no {path}; run eval.py with --out={path.parent} first.")
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"Line {number} of {path} is not JSON; evaluate again.") from error
        if not isinstance(record, dict) or "confusion" not in record:
            raise InputError(f"Line {number} of {path} holds no confusion matrices; evaluate again.")
        records.append(record)
    return records


def markdown(header: dict, rows: Sequence[dict]) -> str:
    """Returns results.md: what was evaluated, the scores, and the IoU of each class."""
    protocol = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in header["protocol"].items())
    step = "none" if header["step"] is None else f"step {header['step']}"
    lines = [
        f"# {header['data_set']} {header['version']}, {header['split']} split, fold {header['fold']}",
        "",
        f"- Classes: {', '.join(header['classes'])}",
        f"- Protocol: {protocol}",
        f"- Checkpoint: {step}",
        *([f"- Augmentation in training: {header['augmentation']}"] if header["augmentation"] else []),
        *_seen_lines(header),
        *_episode_lines(rows),
        "",
        "IoU in percent, with 95% bootstrap intervals over episodes.",
        "",
        *_markdown_table([_HEADINGS, *map(_cells, rows)]),
        "",
        *comparisons(rows),
        *_markdown_table(_class_cells(rows, header["classes"])),
    ]
    missing = sorted({name for row in rows for name in row["missing_classes"]})
    if missing:
        lines += ["", f"Classes that never occur (a dash) are left out of the mean: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def comparisons(rows: Sequence[dict]) -> list[str]:
    """Returns a line, and an empty one, for each row that was compared with another on the same episodes."""
    lines = []
    for row in rows:
        for other in row["against"]:
            low, high = other["ci95"]
            lines += [
                f"{row['name']} minus {other['row']} on the same {other['episodes']} episodes: "
                f"{other['difference']:+.1f} ({low:+.1f} to {high:+.1f})",
                "",
            ]
    return lines


def table(rows: Sequence[dict]) -> str:
    """Returns the scores as aligned plain text for the terminal, without a final line end."""
    cells = [_HEADINGS, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for name, *numbers in cells:
        padded = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *padded]).rstrip())
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:], "", *comparisons(rows)]).rstrip()


_HEADINGS = ["row", "mean-IoU", "95% interval", "binary-IoU", "episodes", "seconds"]


def _cells(row: dict) -> list[str]:
    mean = _number(row["mean_iou"])
    low, high = row["ci95"] or (None, None)
    episodes = str(row["episodes"])
    if row["runs"] > 1:
        mean += f" ± {_number(row['std'])}"
        episodes += f" in {row['runs']} runs"
    interval = f"{_number(low)} to {_number(high)}"
    return [row["name"], mean, interval, _number(row["binary_iou"]), episodes, _number(row["seconds"])]


def _class_cells(rows: Sequence[dict], classes: Sequence[str]) -> list[list[str]]:
    scores = [[row["name"], *(_number(row["per_class"][name]) for name in classes)] for row in rows]
    return [["row", *classes], *scores]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _seen_lines(header: dict) -> list[str]:
    count = header["tested_images_in_training"]
    return [f"- {count} of the test images were also seen in training, as background"] if count else []


def _episode_lines(rows: Sequence[dict]) -> list[str]:
    """Says which episodes the rows were scored on, a line for each manifest."""
    names: dict[tuple, list[str]] = {}
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
