"""The three files of an evaluation, read back with plain tools."""

import json
from dataclasses import replace
from hashlib import sha256

import pytest

from fsjax.errors import InputError
from fsjax.evaluation.paired import Comparison
from fsjax.evaluation.report import markdown, table, write_records, write_report
from fsjax.evaluation.results import checked_header, read_records
from fsjax.evaluation.summary import Description, Scored, augmentation, summaries

DESCRIPTION = Description(
    title="Six toys",
    data_set="toy",
    version="1.0.0",
    split="test",
    fold=0,
    classes={1: "cat", 2: "dog"},
    protocol={"input": "square", "size": 128, "label": "input"},
    void="ignore",
    counting="strict",
    settings={"omega_s": 0.5},
    seed=7,
    step=870,
    config={"seed": 0},
)


def make_records(row, hit):
    return [
        {
            "row": row,
            "run": run,
            "index": index,
            "class_ids": [1],
            "support": [["s"]],
            "query": [f"q{run}_{index}"],
            "confusion": [[[90, 0], [10 - hit, hit], [0, 0]]],
        }
        for run in range(2)
        for index in range(3)
    ]


def make_rows(records, description=DESCRIPTION, comparisons=()):
    names = dict.fromkeys(record["row"] for record in records)
    scored = [Scored(n, [r for r in records if r["row"] == n], "ab" * 32, 1.25) for n in names]
    return summaries(scored, description, comparisons)


@pytest.fixture
def records():
    return make_records("fusion0", 5) + make_records("fusion1", 8)


@pytest.fixture
def rows(records):
    return make_rows(records)


def test_report_round_trip(tmp_path, rows, records):
    out = tmp_path / "new" / "folder"
    made = {"fsjax": "0.1.0", "commit": None, "clean": None, "device": "cpu", "devices": 8}
    description = replace(DESCRIPTION, weights_sha256="cd" * 32, provenance=made)
    write_report(out, description, rows, records)

    results = json.loads((out / "results.json").read_text())
    assert results.pop("rows") == rows
    results.pop("sha256")
    assert results.pop("episodes_sha256") == sha256((out / "episodes.jsonl").read_bytes()).hexdigest()
    assert [row["mean_iou"] for row in rows] == pytest.approx([50, 80])
    protocol = {"input": "square", "size": 128, "label": "input", "void": "ignore", "counting": "strict"}
    assert results.pop("class_ids") == [1, 2]
    assert results == {
        "title": "Six toys", "data_set": "toy", "version": "1.0.0", "split": "test", "fold": 0,
        "classes": ["cat", "dog"], "trained_classes": [], "selected_classes": [], "selection": None,
        "preset": "", "departures": {},
        "protocol": {**protocol, "omega_s": 0.5},
        "step": 870, "augmentation": "", "tested_images_in_training": 0, "checkpoint_sha256": None,
        "weights_sha256": "cd" * 32, "manifest_sha256": None, "provenance": made, "config": {"seed": 0},
    }  # fmt: skip
    assert read_records(out / "episodes.jsonl") == records
    assert sorted(path.name for path in out.iterdir()) == ["episodes.jsonl", "results.json", "results.md"]


def test_a_changed_header_is_noticed_and_other_seconds_are_none(tmp_path, rows, records):
    write_report(tmp_path, DESCRIPTION, rows, records)
    path = tmp_path / "results.json"
    whole = json.loads(path.read_bytes())
    path.write_text(json.dumps(whole | {"rows": [{**row, "seconds": 9.0} for row in whole["rows"]]}))
    assert checked_header(tmp_path)["step"] == 870
    path.write_text(
        json.dumps({name: value for name, value in whole.items() if name != "sha256"} | {"step": 8})
    )
    assert checked_header(tmp_path)["step"] == 8  # as fsjax 0.5 wrote it
    for change in ({"step": 8}, {"rows": [{**row, "mean_iou": 99.0} for row in whole["rows"]]}):
        path.write_text(json.dumps(whole | change))
        with pytest.raises(
            InputError, match=r"results\.json is not what an evaluation wrote; evaluate again"
        ):
            checked_header(tmp_path)


def test_what_training_saw_may_be_unknown(tmp_path, rows, records):
    write_report(tmp_path, replace(DESCRIPTION, tested_images_in_training=None), rows, records)
    assert "seen in training is not known" in (tmp_path / "results.md").read_text()
    assert json.loads((tmp_path / "results.json").read_text())["tested_images_in_training"] is None


def test_scores_follow_from_the_episodes_file(tmp_path, rows, records):
    write_report(tmp_path, DESCRIPTION, rows, records)
    lines = [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    assert make_rows(lines) == rows


def test_markdown_says_what_was_evaluated(tmp_path, rows, records):
    made = {
        "fsjax": "0.1.0",
        "jax": "0.9",
        "commit": "beef",
        "clean": False,
        "device": "TPU v4",
        "devices": 8,
    }
    description = replace(
        DESCRIPTION, checkpoint_sha256="cd" * 32, weights_sha256="ef" * 32, augmentation="flips",
        tested_images_in_training=7, provenance=made,
    )  # fmt: skip
    write_report(tmp_path, description, rows, records)
    text = (tmp_path / "results.md").read_text()
    assert text.startswith("# Six toys, test split, fold 0\n")
    for line in (
        "- Data: toy 1.0.0",
        "- Classes: cat, dog",
        "- Protocol: input square, size 128, label input, void ignore, counting strict, omega s 0.5",
        f"- Checkpoint: step 870, sha256 {'cd' * 32}",
        f"- Weights: sha256 {'ef' * 32}",
        "- Augmentation in training: flips",
        "- 7 of the test images were also seen in training, as background",
        f"- Episodes: seed 7, manifest sha256 {'ab' * 32}",
        "- Made by: fsjax 0.1.0 (commit beef with changes), jax 0.9, on 8 x TPU v4",
    ):
        assert f"\n{line}\n" in text
    assert text.endswith("left out of the mean: dog.\n")
    cells = markdown_cells(text)
    assert ["fusion1", "80.0 ± 0.0", "80.0 to 80.0", "88.9", "6 in 2 runs", "1.2"] in cells
    assert ["fusion1", "80.0", "-"] in cells
    assert {len(line) for line in cells} == {6, 3}
    assert "*" not in text


def test_markdown_says_which_preset_is_followed(rows):
    followed = replace(DESCRIPTION, preset="panet")
    assert "\n- Protocol preset: panet throughout\n" in markdown(followed, rows)
    departed = replace(followed, departures={"eval.size": (417, 128), "eval.runs": (5, 2)})
    line = "- Protocol preset: panet, but eval.size 128 instead of 417, eval.runs 2 instead of 5"
    assert f"\n{line}\n" in markdown(departed, rows)
    assert json.loads(json.dumps(departed.header()))["departures"]["eval.runs"] == {"preset": 5, "here": 2}


def test_the_same_predictions_are_counted_in_other_ways(rows):
    assert "counted otherwise" not in markdown(DESCRIPTION, rows)
    one = make_records("fusion0", 5)[0] | {"confusion": [[[90, 0], [5, 5], [0, 10]]]}
    text = markdown(DESCRIPTION, make_rows([one]))
    cells = markdown_cells(text)
    assert ["row", "void ignored, strict", "void as background, strict"] in cells  # what differs, each once
    assert ["fusion0", "50.0 / 72.4", "25.0 / 55.4"] in cells


def markdown_cells(text):
    tables = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in tables]


def test_without_training_nothing_is_said_of_it(rows):
    text = markdown(replace(DESCRIPTION, step=None), rows)
    assert "- Checkpoint: none\n" in text
    assert "sha256" not in text.replace("manifest sha256", "")
    assert "Made by" not in text


def test_classes_that_were_trained_on_are_marked_in_every_table(tmp_path, records):
    description = replace(DESCRIPTION, trained_classes=("dog",))
    rows = make_rows(records, description)
    write_report(tmp_path, description, rows, records)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["trained_classes"] == ["dog"]
    assert [row["trained_classes"] for row in results["rows"]] == [["dog"], ["dog"]]
    text, note = (tmp_path / "results.md").read_text(), "Trained on (*): dog. This is no test on new classes."
    first, second = (line for line in markdown_cells(text) if line[0] == "row")
    assert first == ["row", "mean-IoU*", "95% interval", "binary-IoU*", "episodes", "seconds"]
    assert second == ["row", "cat", "dog*"]
    assert f"\n{note}\n" in text
    assert "- **Trained on tested classes:** dog\n" in text
    terminal = table(rows).splitlines()
    assert "mean-IoU*" in terminal[0]
    assert terminal[-1] == note


CHOSEN = {"by": "novel_fold", "used": True, "step": 870, "score": 43.21, "row": "fusion2", "episodes": 500,
          "sha256": "ef" * 32}  # fmt: skip
SAID = (
    "Selected on the tested classes (†): cat, dog. The scores are too high: not comparable with those of a "
    "last checkpoint, or of one selected by base_val."
)


def test_classes_that_were_selected_on_are_marked_in_every_table(tmp_path, records):
    description = replace(DESCRIPTION, selected_classes=("cat", "dog"), selection=CHOSEN)
    rows = make_rows(records, description)
    write_report(tmp_path, description, rows, records)
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["selection"], results["selected_classes"]) == (CHOSEN, ["cat", "dog"])
    assert [row["selected_classes"] for row in results["rows"]] == [["cat", "dog"], ["cat", "dog"]]
    text = (tmp_path / "results.md").read_text()
    first, second = (line for line in markdown_cells(text) if line[0] == "row")
    assert (first[1], first[3], second) == ("mean-IoU†", "binary-IoU†", ["row", "cat†", "dog†"])
    assert f"\n{SAID}\n" in text
    assert "- **Selected on tested classes:** cat, dog\n" in text
    assert (
        "- Selection: novel_fold; step 870 had the highest mean-IoU of fusion2, 43.2, on 500 episodes "
        f"(sha256 {'ef' * 32})\n"
    ) in text
    terminal = table(rows).splitlines()
    assert "mean-IoU†" in terminal[0]
    assert len({len(line) for line in terminal[:4]}) == 1
    assert terminal[-1] == SAID
    both = table(make_rows(records, replace(description, trained_classes=("dog",))))
    assert "mean-IoU*†" in both
    assert "Trained on (*): dog" in both


def test_an_honest_selection_is_told_and_not_marked(records):
    description = replace(DESCRIPTION, selection={**CHOSEN, "by": "base_val"})
    rows = make_rows(records, description)
    assert "- Selection: base_val; step 870 had" in markdown(description, rows)
    assert "†" not in markdown(description, rows) + table(rows)
    named = replace(DESCRIPTION, selection={**CHOSEN, "used": False})
    assert "- Selection: novel_fold, not used, as the step was named; step 870" in markdown(named, rows)


def test_rows_of_other_episodes_are_told_apart(tmp_path, rows, records):
    adapted = {**rows[1], "name": "fusion2_adapt5", "manifest": "cd" * 32}
    write_report(tmp_path, DESCRIPTION, [*rows, adapted], records)
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


def test_not_a_number_is_never_written(tmp_path, rows):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report(tmp_path, DESCRIPTION, [{**rows[0], "seconds": float("nan")}], [])
    assert not (tmp_path / "results.json").exists()


def test_rows_are_compared_where_both_are_there(records):
    absent, pair = Comparison("fusion1", "fusion2"), Comparison("fusion1", "fusion0")
    plain, better = make_rows(records, comparisons=[absent, pair])
    assert plain["against"] == []
    (against,) = better["against"]
    assert (against["row"], against["episodes"]) == ("fusion0", 6)
    assert [against["difference"], *against["ci95"]] == pytest.approx([30.0, 30.0, 30.0])
    sentence = "fusion1 minus fusion0 on the same 6 episodes: +30.0 (+30.0 to +30.0)"
    assert sentence in table([plain, better])
    assert sentence in markdown(DESCRIPTION, [plain, better])


def test_a_row_of_some_episodes_is_compared_only_when_it_says_so(records):
    adapted = [r | {"row": "adapted"} for r in records[6:] if r["index"] < 2]
    with pytest.raises(InputError, match="2 episodes are in one of the two rows only"):
        make_rows(records + adapted, comparisons=[Comparison("adapted", "fusion0")])
    *_, row = make_rows(records + adapted, comparisons=[Comparison("adapted", "fusion0", restricted=True)])
    assert [other["episodes"] for other in row["against"]] == [4]


def test_augmentation_is_put_in_words():
    assert augmentation(flip=False, crop=1.0, rotate=0.0) == "none"
    words = augmentation(flip=True, crop=1.5, rotate=10.0)
    assert words == "flips, crops of photos enlarged up to 1.5 times, rotations up to 10 degrees"
    assert "no crops or rotations" in augmentation(flip=True, crop=1.0, rotate=0.0, features_kept=True)
