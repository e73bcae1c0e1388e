"""Results are read back whole or not at all, and compared by what their episodes show."""

import hashlib
import json
import os

import numpy as np
import pytest

from fsjax.errors import InputError
from fsjax.evaluation.report import differences_table
from fsjax.evaluation.results import (
    Results,
    checked_header,
    differences,
    protocol_differences,
    read_records,
    same_manifest,
)
from tests.evaluation.test_paired import episode

HEADER = {
    "data_set": "pets",
    "version": "1",
    "classes": ["cat", "dog"],
    "protocol": {"void": "ignore", "counting": "strict"},
}


def write(folder, rows, **header):
    """Writes an evaluation's two files; rows are names and their records."""
    folder.mkdir(exist_ok=True)
    told = [{"name": name, "episodes": len(records), "seed": 1} for name, records in rows.items()]
    (folder / "results.json").write_text(json.dumps({**HEADER, **header, "rows": told}))
    lines = [json.dumps(record | {"row": name}) for name, records in rows.items() for record in records]
    (folder / "episodes.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def row(hits, **more):
    """Four episodes of 10 pixels each, of two classes in turn, with so many pixels found."""
    return [
        episode(f"q{i}", hit, 10 - hit, index=i, class_id=1 + i % 2, **more) for i, hit in enumerate(hits)
    ]


def test_episodes_that_changed_after_the_results_are_refused(tmp_path):
    folder = write(tmp_path / "first", {"a": row([9, 2])})
    sha256 = hashlib.sha256((folder / "episodes.jsonl").read_bytes()).hexdigest()
    Results.read(write(folder, {"a": row([9, 2])}, episodes_sha256=sha256))
    write(folder, {"a": row([9, 3])}, episodes_sha256=sha256)
    with pytest.raises(InputError, match=r"do not belong together; evaluate again\.$"):
        Results.read(folder)


def test_a_header_is_read_without_its_episodes(tmp_path):
    folder = write(tmp_path, {"a": row([9, 2])})
    assert checked_header(folder) == Results.read(folder).header  # an older version's, read in full
    (folder / "episodes.jsonl").write_bytes(b"no JSON\n" * 2)
    with pytest.raises(InputError, match=r"Line 1 of .* is not JSON"):
        checked_header(folder)
    header = json.loads((folder / "results.json").read_text())
    header["episodes_sha256"] = hashlib.sha256(b"no JSON\n" * 2).hexdigest()
    (folder / "results.json").write_text(json.dumps(header))
    assert checked_header(folder) == header  # no line was parsed


@pytest.mark.parametrize("sha256", ["", 3, "0" * 64])
def test_a_header_of_other_episodes_is_refused(tmp_path, sha256):
    folder = write(tmp_path, {"a": row([9, 2])}, episodes_sha256=sha256)
    with pytest.raises(InputError, match=r"do not belong together; evaluate again\.$"):
        checked_header(folder)


def test_a_header_alone_is_refused(tmp_path):
    folder = write(tmp_path, {"a": row([9, 2])}, episodes_sha256="0" * 64)
    (folder / "episodes.jsonl").unlink()
    os.mkfifo(folder / "episodes.jsonl")  # would be waited for
    with pytest.raises(InputError, match=r"There is no .*episodes\.jsonl; run eval\.py with --out="):
        checked_header(folder)
    (folder / "results.json").unlink()
    with pytest.raises(InputError, match=r"There is no .*results\.json; run eval\.py with --out="):
        checked_header(folder)


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


def test_rows_that_lack_different_episodes_are_compared_on_what_both_have(tmp_path):
    rows = {"first": row([9, 2, 7, 4])[:3], "second": row([3, 2, 5, 2])[1:]}
    results = Results.read(write(tmp_path, rows))
    (found,) = differences(results, results, [("first", "second")])
    assert found["episodes"] == 2
    assert found["difference"] == pytest.approx(100 * ((7 - 5) / 10 + (2 - 2) / 10) / 2)
    assert found["mean_iou"] - found["other_mean_iou"] == pytest.approx(found["difference"])


def test_means_are_over_the_same_runs(tmp_path):
    """One run of two episodes against two runs of one: an easy object of 10 pixels, and a hard one of 100."""
    shown = [episode("q0", 9, 1), episode("q1", 10, 90, index=1)]
    first = Results.read(write(tmp_path / "first", {"a": shown}))
    second = Results.read(write(tmp_path / "second", {"a": [shown[0], shown[1] | {"run": 1}]}))
    for results, others, mean in ((first, second, 100 * 19 / 110), (second, first, 100 * (0.9 + 0.1) / 2)):
        (found,) = differences(results, others, [("a", "a")])
        assert (found["mean_iou"], found["other_mean_iou"]) == (pytest.approx(mean), pytest.approx(mean))
        assert found["difference"] == 0


def wrong(hits):
    """A row whose supports show the other class."""
    return [r | {"shown": [3 - r["class_ids"][0]]} for r in row(hits, support="other")]


def test_a_wrong_support_is_compared_with_the_episode_of_its_number(tmp_path):
    rows = {"right": row([9, 9, 9, 9]), "wrong_support_absent": wrong([4, 4, 4, 4])[1:]}
    results = Results.read(write(tmp_path, rows))
    (found,) = differences(results, results, [("right", "wrong_support_absent")])
    assert (found["difference"], found["episodes"]) == (pytest.approx(50), 3)


def test_numbers_of_other_seeds_are_other_episodes(tmp_path):
    first = Results.read(write(tmp_path / "first", {"right": row([9, 9])}))
    second = Results.read(write(tmp_path / "second", {"wrong_support_absent": wrong([4, 4])}))
    second.header["rows"][0]["seed"] = 2
    with pytest.raises(InputError, match="share no episode: compare rows of the same seed"):
        differences(first, second, [("right", "wrong_support_absent")])


def test_a_score_that_nothing_defines_has_no_difference(tmp_path):
    nothing = [episode("q", 0, 0)]
    results = Results.read(write(tmp_path, {"a": nothing, "b": nothing}))
    found = differences(results, results, [("a", "b")])
    assert (found[0]["difference"], found[0]["ci95"]) == (None, None)
    *_, line = differences_table(found).splitlines()
    assert line.split() == ["a", "b", "-", "-", "-", "-", "1"]


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


BROKEN = {
    "rows": [None, [1], ["name"], [{"name": 3}], {}, [{"name": "a", "manifest": []}]],
    "protocol": [None, [], {}, {"void": "foo", "counting": "strict"}, {"void": "ignore"}],
    "manifest_sha256": [3, ["m"]],
    "trained_classes": [[3], [["cat"]]],
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "There is no .*results.json; run eval.py with --out="),
        ("{", "results.json is not JSON; evaluate again"),
        ("[]", "results.json is no evaluation's; evaluate again"),
        ('{"rows": []}', "results.json is no evaluation's; evaluate again"),
        *(
            (json.dumps({**HEADER, "rows": [], name: value}), "results.json is no evaluation's")
            for name, values in BROKEN.items()
            for value in values
        ),
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


DAMAGED = {
    "row": [[], None],
    "run": [None, "1"],
    "class_ids": [8, ["cat"], [1, 2]],
    "support": ["s", ["s"], [[3]]],
    "query": [3, [3], ["a", "b"]],
    "parts": [3, [], [[1, 2]], [["1"]]],
    "labelled": [1, [], [1, 2], [None]],
    "confusion": [[], [[1]], [[[7, 0], [1, 1]]], [[[7, 0], [1], [0, 0]]], [[[7, 0], [1, 1], [0, None]]]],
}


@pytest.mark.parametrize(
    ("damaged", "says"),
    [
        (b'{"confus', "is not JSON"),
        (b"\xff\x00", "is not JSON"),
        (b"[1, 2]", "is not an episode"),
        (b'{"confusion": []}', "is not an episode"),
        *(
            (json.dumps({**episode("q"), name: value}).encode(), "is not an episode")
            for name, values in DAMAGED.items()
            for value in values
        ),
    ],
)
def test_unreadable_records_are_named(tmp_path, damaged, says):
    path = tmp_path / "episodes.jsonl"
    with pytest.raises(InputError, match="There is no"):
        read_records(path)
    path.write_bytes(json.dumps(episode("q")).encode() + b"\n" + damaged)
    with pytest.raises(InputError, match=f"Line 2 of .* {says}; evaluate again"):
        read_records(path)


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
    external = Results.read(write(tmp_path / "theirs", {"a": row([1])}, predictions={"masks": 1}))
    assert protocol_differences(first, external) == protocol_differences(external, second) == []
    external.header["protocol"]["input_size"] = 417
    assert protocol_differences(external, first) == ["input size: 417 against 321"]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({}, {}, True),
        ({"whole": "m"}, {"whole": "m"}, True),
        ({"whole": "m", "row": "some"}, {"whole": "m", "row": "m"}, True),
        ({"whole": "m", "row": "some"}, {"whole": "some", "row": "some"}, True),
        ({"whole": "m", "row": "m"}, {"whole": "n", "row": "n"}, False),
        ({"whole": "m"}, {"whole": "n"}, False),
        ({"whole": "m"}, {}, False),
        ({"row": "m"}, {"row": "m"}, True),
    ],
)
def test_rows_are_of_one_manifest_or_of_some_of_its_episodes(tmp_path, first, second, same):
    both = []
    for name, sha256 in (("first", first), ("second", second)):
        results = Results.read(
            write(tmp_path / name, {"a": row([1, 2])}, manifest_sha256=sha256.get("whole"))
        )
        results.header["rows"][0]["manifest"] = sha256.get("row")
        both.append(results)
    assert same_manifest(*both, "a", "a") is same
    if same:
        assert differences(*both, [("a", "a")])[0]["episodes"] == 2
    else:
        with pytest.raises(InputError, match=r"are of other manifests: .* or compare the episodes that both"):
            differences(*both, [("a", "a")])
        assert differences(*both, [("a", "a")], shared=True)[0]["episodes"] == 2
