"""The three files of an evaluation, read back with plain tools."""

import json

import pytest

from fsjax.errors import InputError
from fsjax.evaluation.metrics import summarize
from fsjax.evaluation.report import markdown, read_records, table, write_records, write_report
from fsjax.files import replacing

CLASSES = {1: "cat", 2: "dog"}
HEADER = {
    "data_set": "toy",
    "version": "1.0.0",
    "split": "test",
    "fold": 0,
    "classes": list(CLASSES.values()),
    "protocol": {"input": "square", "size": 128, "label": "input", "void": "ignore", "counting": "strict"},
    "step": 870,
    "augmentation": "",
    "tested_images_in_training": 0,
    "config": {"seed": 0},
    "published": None,
}


def make_records(row, hit):
    return [
        {
            "row": row,
            "run": run,
            "index": index,
            "class_ids": [1],
            "support": [["s"]],
            "query": ["q"],
            "confusion": [[[90, 0], [10 - hit, hit], [0, 0]]],
        }
        for run in range(2)
        for index in range(3)
    ]


def make_row(records, seed=7, manifest="ab" * 32):
    scores = summarize(records, CLASSES, void="ignore", counting="strict")
    return {
        "name": records[0]["row"],
        **scores,
        "seed": seed,
        "manifest": manifest,
        "seconds": 1.25,
        "against": [],
    }


@pytest.fixture
def records():
    return make_records("fusion0", 5) + make_records("fusion1", 8)


@pytest.fixture
def rows(records):
    return [make_row(records[:6]), make_row(records[6:])]


def test_report_round_trip(tmp_path, rows, records):
    out = tmp_path / "new" / "folder"
    write_report(out, HEADER, rows, records)

    results = json.loads((out / "results.json").read_text())
    assert {name: results[name] for name in HEADER} == HEADER
    assert results["rows"] == rows
    assert [row["mean_iou"] for row in results["rows"]] == pytest.approx([50, 80])
    assert read_records(out / "episodes.jsonl") == records
    assert sorted(path.name for path in out.iterdir()) == ["episodes.jsonl", "results.json", "results.md"]


def test_scores_follow_from_the_episodes_file(tmp_path, rows, records):
    write_report(tmp_path, HEADER, rows, records)
    lines = [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    again = [make_row([line for line in lines if line["row"] == row["name"]]) for row in rows]
    assert again == rows


def test_markdown_says_what_was_evaluated(tmp_path, rows, records):
    write_report(tmp_path, HEADER, rows, records)
    text = (tmp_path / "results.md").read_text()
    assert text.startswith("# toy 1.0.0, test split, fold 0\n")
    for part in ("cat, dog", "square", "void ignore", "step 870", "seed 7", "ab" * 32, "dog."):
        assert part in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables]
    assert ["fusion1", "80.0 ± 0.0", "80.0 to 80.0", "88.9", "6 in 2 runs", "1.2"] in cells
    assert ["fusion1", "80.0", "-"] in cells
    assert {len(line) for line in cells} == {6, 3}


def test_rows_of_other_episodes_are_told_apart(tmp_path, rows, records):
    adapted = {**rows[1], "name": "fusion2_adapt5", "manifest": "cd" * 32}
    write_report(tmp_path, HEADER, [*rows, adapted], records)
    text = (tmp_path / "results.md").read_text()
    assert f"{'ab' * 32} (fusion0, fusion1)" in text
    assert f"{'cd' * 32} (fusion2_adapt5)" in text


def test_terminal_table_is_aligned(rows):
    undefined = {**rows[0], "name": "none", "mean_iou": None, "ci95": None, "binary_iou": None, "runs": 1}
    lines = table([*rows, undefined]).splitlines()
    assert len(lines) == 5
    assert len({len(line) for line in lines}) == 1
    assert lines[2].split()[:3] == ["fusion0", "50.0", "±"]
    assert lines[4].split()[1:3] == ["-", "-"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "episodes.jsonl"
    write_records(path, [{"confusion": []}])
    before = path.read_bytes()

    def failing():
        yield {"confusion": [1]}
        raise RuntimeError("stopped half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        write_records(path, failing())

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_not_a_number_is_never_written(tmp_path, rows):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report(tmp_path, HEADER, [{**rows[0], "seconds": float("nan")}], [])
    assert not (tmp_path / "results.json").exists()


def test_unreadable_records_are_named(tmp_path):
    path = tmp_path / "episodes.jsonl"
    with pytest.raises(InputError, match="There is no"):
        read_records(path)
    path.write_text('{"confusion": []}\n{"confus')
    with pytest.raises(InputError, match=r"Line 2 of .* is not JSON"):
        read_records(path)
    path.write_text("[1, 2]\n")
    with pytest.raises(InputError, match=r"Line 1 of .* no confusion"):
        read_records(path)


def test_a_comparison_is_written_below_the_table(rows):
    against = {"row": "fusion2", "difference": 1.25, "ci95": [-0.5, 3.0], "episodes": 100}
    compared = rows[0] | {"against": [against]}
    sentence = "fusion2 on the same 100 episodes: +1.2 (-0.5 to +3.0)"
    assert sentence in table([compared])
    text = markdown(HEADER | {"tested_images_in_training": 7, "augmentation": "flips"}, [compared])
    assert sentence in text
    assert "- Augmentation in training: flips" in text
    assert "7 of the test images were also seen in training" in text
