"""Results are read back whole or not at all, and compared by what their episodes show."""

import json

import numpy as np
import pytest

from fsjax.errors import InputError
from fsjax.evaluation.report import differences_table
from fsjax.evaluation.results import Results, differences, protocol_differences
from tests.evaluation.test_compare import episode

HEADER = {
    "data_set": "pets",
    "version": "1",
    "classes": ["cat", "dog"],
    "protocol": {"void": "ignore", "counting": "strict"},
}


def write(folder, rows, **header):
    """Writes an evaluation's two files; rows are names and their records."""
    folder.mkdir(exist_ok=True)
    told = [{"name": name, "episodes": len(records)} for name, records in rows.items()]
    (folder / "results.json").write_text(json.dumps({**HEADER, **header, "rows": told}))
    lines = [json.dumps(record | {"row": name}) for name, records in rows.items() for record in records]
    (folder / "episodes.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def row(hits, **more):
    """Four episodes of 10 pixels each, of two classes in turn, with so many pixels found."""
    return [
        episode(f"q{i}", hit, 10 - hit, index=i, class_id=1 + i % 2, **more) for i, hit in enumerate(hits)
    ]


def test_scores_and_their_difference_are_those_of_the_pixels(tmp_path):
    first = Results.read(write(tmp_path / "first", {"a": row([9, 2, 7, 4])}))
    second = Results.read(write(tmp_path / "second", {"b": row([3, 2, 5, 2])}))
    (found,) = differences(first, second, [("a", "b")])
    assert found["mean_iou"] == pytest.approx(100 * np.mean([16 / 20, 6 / 20]))
    assert found["other_mean_iou"] == pytest.approx(100 * np.mean([8 / 20, 4 / 20]))
    assert found["difference"] == pytest.approx(found["mean_iou"] - found["other_mean_iou"])
    low, high = found["ci95"]
    assert low <= found["difference"] <= high
    assert found["episodes"] == 4
    heading, _, line = differences_table([found]).splitlines()
    assert heading.split() == [
        "row",
        "minus",
        "mean-IoU",
        "other",
        "difference",
        "95%",
        "interval",
        "episodes",
    ]
    assert line.split()[:5] == ["a", "b", "55.0", "30.0", "+25.0"]


def test_a_row_with_some_of_the_episodes_is_compared_on_those(tmp_path):
    results = Results.read(write(tmp_path, {"all": row([9, 2, 7, 4]), "some": row([3, 2, 5, 2])[:2]}))
    for pair, sign in ((("all", "some"), 1), (("some", "all"), -1)):
        (found,) = differences(results, results, [pair])
        assert found["episodes"] == 2
        assert found["difference"] == pytest.approx(sign * 100 * (9 - 3) / 10 / 2)


def test_a_wrong_support_is_compared_with_the_episode_of_its_number(tmp_path):
    rows = {"right": row([9, 9, 9, 9]), "wrong_support_absent": row([4, 4, 4, 4], support="other")[1:]}
    for record in rows["wrong_support_absent"]:
        record["shown"] = [3 - record["class_ids"][0]]
    results = Results.read(write(tmp_path, rows))
    (found,) = differences(results, results, [("right", "wrong_support_absent")])
    assert (found["difference"], found["episodes"]) == (pytest.approx(50), 3)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"version": "2"}, "differ in version, 1 and 2"),
        ({"classes": ["cat", "cow"]}, "differ in classes"),
        ({"protocol": {"void": "background", "counting": "strict"}}, "differ in void, ignore and background"),
    ],
)
def test_what_is_counted_otherwise_is_not_compared(tmp_path, header, said):
    first = Results.read(write(tmp_path / "first", {"a": row([1, 2])}))
    second = Results.read(write(tmp_path / "second", {"a": row([1, 2])}, **header))
    with pytest.raises(InputError, match=said):
        differences(first, second, [("a", "a")])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "There is no .*results.json; run eval.py with --out="),
        ("{", "results.json is not JSON; evaluate again"),
        ("[]", "results.json is no evaluation's; evaluate again"),
        ('{"rows": []}', "results.json is no evaluation's; evaluate again"),
        (json.dumps({**HEADER, "rows": [{"name": "a", "episodes": 3}]}), "do not belong together"),
        (json.dumps({**HEADER, "rows": []}), "do not belong together"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path, text, said):
    write(tmp_path, {"a": row([1, 2])})
    (tmp_path / "results.json").unlink()
    if text is not None:
        (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match=said):
        Results.read(tmp_path)


def test_a_row_that_is_missing_is_named(tmp_path):
    results = Results.read(write(tmp_path, {"a": row([1, 2]), "b": row([1, 2])}))
    with pytest.raises(InputError, match=r"has no row 'c': choose from a, b\."):
        results.row("c")


def test_protocols_are_told_apart(tmp_path):
    counted = HEADER["protocol"]
    first = Results.read(write(tmp_path / "first", {"a": row([1])}, protocol={**counted, "input_size": 321}))
    second = Results.read(write(tmp_path / "second", {"a": row([1])}, protocol={**counted, "beta": 0.5}))
    assert protocol_differences(first, first) == []
    lines = ["input size: 321 against none", "beta: none against 0.5"]
    assert protocol_differences(first, second) == lines
