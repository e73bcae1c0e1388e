"""The overview with many classes or with next to nothing, its tables, its pictures' choices, bad input."""

import csv
import re
import subprocess

import numpy as np
import pytest

from datasets import overview
from datasets.records import Labelled
from datasets.statistics import tables
from datasets.statistics.contact_sheet import chosen, coloring
from datasets.statistics.counting import Counted
from datasets.statistics.overview_text import SHOWN
from tests.datasets import drawn


@pytest.fixture
def no_pictures(monkeypatch):
    """Takes the time of drawing out of tests that read."""
    monkeypatch.setattr(overview, "contact_sheet", lambda *arguments: None)
    monkeypatch.setattr(overview, "size_figure", lambda *arguments: None)


def run(capsys, tmp_path, name="drawn"):
    flags = [f"--dataset={name}", f"--tfds_dir={tmp_path}", f"--out={tmp_path / 'out'}"]
    assert overview.main(["overview", *flags]) == 0
    return capsys.readouterr().out


def read_many(number):
    """Photo n shows class n + 1, and photos of even numbers class 1, too."""
    one = drawn.read(0)
    mask = np.zeros(one.size, bool)
    mask[3:20, 4:30] = True
    return Labelled(
        f"p{number}", one.photo, one.size, {number + 1: mask, **({} if number % 2 else {1: mask})}
    )


def test_a_thousand_classes_stay_readable(tmp_path, capsys, no_pictures):
    names = [f"class_with_a_rather_long_name_{c:04d}" for c in range(1, 1001)]
    ids = [f"p{i}" for i in range(60)]
    drawn.prepare(
        tmp_path, class_names=names, folds={}, ids=ids, tasks=range(60), read=read_many,
        lists={"train": ids[:40], "test": ids[40:]}, usual=("train", "test"),
    )  # fmt: skip
    said = run(capsys, tmp_path).splitlines()
    assert max(len(line) for line in said if str(tmp_path) not in line) <= 100
    table = [line for line in said if re.match(r" +\d+  class_with_a_rather_long", line)]
    assert len(table) == 2 * SHOWN
    assert table[0].split()[0] == "1"
    assert any("(976 others)" in line for line in said)
    assert any("Folds are drawn" in line for line in said)
    with (tmp_path / "out" / "classes.csv").open(newline="") as file:
        assert [row["class"] for row in csv.DictReader(file)] == names


def test_the_flag_that_leaves_classes_out_is_one_word_to_a_shell(tmp_path, capsys, no_pictures):
    names = [f"some class {c}" for c in range(1, 41)]
    ids = [f"p{i}" for i in range(40)]
    drawn.prepare(
        tmp_path, class_names=names, folds={}, ids=ids, tasks=range(40), read=read_twice,
        lists={"all": ids}, usual=("all", "all"),
    )  # fmt: skip
    said = run(capsys, tmp_path)
    start = said.index("--config.data.leave_out=")
    command = f"printf '%s|' {said[start : said.index(chr(10) * 2, start)]}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    (word, _) = done.stdout.split("|")
    assert word == "--config.data.leave_out=" + ",".join(names[20:])


def read_twice(number):
    """Photos 0 to 19 show two of the first twenty classes each, the others one class of their own."""
    one = drawn.read(0)
    mask = np.zeros(one.size, bool)
    mask[3:20, 4:30] = True
    shown = (number + 1, (number + 1) % 20 + 1) if number < 20 else (number + 1,)
    return Labelled(f"p{number}", one.photo, one.size, dict.fromkeys(shown, mask))


def read_nothing(number):
    """A photo without objects."""
    one = drawn.read(number)
    return Labelled(one.id, one.photo, one.size, {})


def test_a_data_set_of_one_class_or_none_has_an_overview(tmp_path, capsys):
    drawn.prepare(
        tmp_path,
        "empty",
        read=read_nothing,
        class_names=("ant",),
        folds={},
        lists={"a": ["p1"], "b": []},
        usual=("a", "b"),
    )
    said = run(capsys, tmp_path, "empty")
    assert "No photo shows several classes" in said
    assert "contact_sheet" not in said
    assert not (tmp_path / "out" / "contact_sheet.png").exists()
    assert (tmp_path / "out" / "sizes.png").exists()


def test_photos_of_the_sheet_show_as_many_classes_as_there_is_room_for():
    photos = np.repeat(np.arange(30), 2)
    classes = np.array([[1, 2 + (photo % 5)] for photo in range(30)]).ravel()
    sizes = np.full((30, 2), 100, np.int32)
    found = Counted("a", range(30), sizes, photos, classes, np.full(60, 900), np.ones(60, bool), 7)
    taken = chosen(found, 5)
    assert len(set(taken)) == 5
    assert {c for photo in taken for c in classes[photos == photo]} == {1, 2, 3, 4, 5, 6}
    assert len(chosen(found, 100)) == 30


def test_classes_of_one_photo_have_different_colours():
    photos = [[1, 2, 3], [3, 4, 5], [1, 5, 6, 7], list(range(10, 24))]
    colors = coloring(photos)
    for classes in photos:
        assert len({colors[c] for c in classes}) == len(classes)


def test_tables_are_aligned_and_split_where_they_are_too_wide():
    lines = tables.table(("name", "a\nb"), [["one", "1"], ["three", "1,000"]])
    assert lines == ["             a", "  name       b", "  one        1", "  three  1,000"]
    wide = tables.table(["list"] + [f"column {i}" for i in range(20)], [["mine"] + ["12345"] * 20])
    assert max(map(len, wide)) <= tables.WIDTH
    assert sum(line.startswith("  mine") for line in wide) == 3
    assert " ".join(wide).count("12345") == 20


def test_shares_have_as_many_digits_as_tell_small_ones_apart():
    assert [tables.percent(x) for x in (0.0, 0.00123, 0.1234, 1.0, float("nan"))] == [
        "0.0%",
        "0.12%",
        "12.3%",
        "100.0%",
        "-",
    ]
    assert tables.shortened("a" * 50, 10) == "a" * 9 + "…"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "error: Name a data set with --dataset"),
        (["--dataset=nothing"], "error: There is no data set nothing in"),
        (["--dataset=../x"], "error: '../x' is no name for a data set"),
        (["--dataset=drawn", "--outt=x"], "error: There is no flag --outt"),
    ],
)
def test_bad_input_is_one_sentence(flags, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert overview.main(["overview", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(sentence)
    assert list(tmp_path.iterdir()) == []
