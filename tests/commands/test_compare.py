"""fsjax.compare as its users start it."""

import pytest
from PIL import Image

from fsjax import compare
from tests.commands.programs import start
from tests.evaluation.test_results import HEADER, row, write

COUNTED = HEADER["protocol"]


def cells(capsys):
    """The lines below the table's heading, as words, and the lines that follow."""
    _, _, *lines = capsys.readouterr().out.splitlines()
    return [line.split() for line in lines if not line.startswith("The protocols")], [
        line for line in lines if line.startswith("The protocols")
    ]


def test_two_rows_of_a_folder(tmp_path, capsys):
    write(tmp_path, {"ccm": row([9, 9]), "ccm, aux": row([4, 4])})
    assert start(compare, tmp_path, "--rows=ccm:ccm, aux;") == 2  # nothing stands behind the semicolon
    assert start(compare, tmp_path, "--rows=ccm: ccm, aux;ccm, aux:ccm") == 0
    lines, apart = cells(capsys)
    assert lines[0][:7] == ["ccm", "ccm,", "aux", "90.0", "40.0", "+50.0", "+50.0"]
    assert lines[1][5:7] == ["-50.0", "-50.0"]
    assert apart == []


def test_the_second_folder_is_subtracted(tmp_path, capsys):
    first = write(tmp_path / "first", {"a": row([9, 9]), "b": row([3, 3])}, protocol={**COUNTED, "size": 321})
    second = write(tmp_path / "second", {"b": row([5, 5]), "a": row([4, 4])})
    assert start(compare, first, second) == 0
    lines, apart = cells(capsys)
    assert [line[:5] for line in lines] == [
        ["a", "a", "90.0", "40.0", "+50.0"],
        ["b", "b", "30.0", "50.0", "-20.0"],
    ]
    assert apart == ["The protocols differ in size: 321 against none."]
    assert start(compare, first, second, "--rows=b:a") == 0
    assert [line[:5] for line in cells(capsys)[0]] == [["b", "a", "30.0", "40.0", "-10.0"]]


def test_selections_are_told(tmp_path, capsys):
    chosen = {"by": "base_val", "used": True, "step": 40}
    honest = write(tmp_path / "honest", {"a": row([9, 9])}, selection=chosen, selected_classes=[])
    chosen = {**chosen, "by": "novel_fold"}
    marked = write(tmp_path / "marked", {"a": row([4, 4])}, selection=chosen, selected_classes=["cat"])
    assert start(compare, honest, marked) == 0
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert first == f"{honest}: step 40 was selected by base_val."
    assert second.startswith(f"{marked}: Selected on the tested classes (†): cat. The scores are too high: ")
    older = write(tmp_path / "older", {"a": row([4, 4]), "b": row([1, 1])})  # of before there was a selection
    assert start(compare, older, "--rows=a:b") == 0
    assert "elected" not in capsys.readouterr().out


def test_what_is_to_be_compared_has_to_be_said(tmp_path, refusal):
    folder = write(tmp_path / "one", {"a": row([9, 9]), "b": row([3, 3])})
    other = write(tmp_path / "other", {"c": row([9, 9])})
    assert "Name the folder" in refusal(compare)
    assert "Name rows of this folder to compare" in refusal(compare, folder)
    assert "Name rows of this folder to compare" in refusal(compare, folder, "--rows=a")
    assert "No row is in both folders" in refusal(compare, folder, other)
    assert f"There is no {tmp_path}/results.json" in refusal(compare, tmp_path)
    assert "has no row 'fusion7': choose from a, b" in refusal(compare, folder, "--rows=fusion7:a")
    assert "There is no flag --row" in refusal(compare, folder, "--row=a")


def test_the_last_of_several_folders_is_subtracted(tmp_path, capsys):
    """The second lacks a row; episodes of the third are fewer."""
    first = write(tmp_path / "first", {"a": row([9, 9]), "b": row([3, 3])}, manifest_sha256="m")
    second = write(tmp_path / "second", {"b": row([5, 5])}, manifest_sha256="m")
    last = write(tmp_path / "last", {"a": row([4, 4]), "b": row([1])}, manifest_sha256="m")
    assert start(compare, first, second, last) == 0
    said, heading, _, *lines = capsys.readouterr().out.splitlines()
    assert said == f"The rows of {last} are subtracted."
    assert heading.split()[0] == "folder"
    assert [line.split() for line in lines] == [
        [str(first), "a", "a", "90.0", "40.0", "+50.0", "+50.0", "to", "+50.0", "2"],
        [str(first), "b", "b", "30.0", "10.0", "+20.0", "+20.0", "to", "+20.0", "1"],
        [str(second), "b", "b", "50.0", "10.0", "+40.0", "+40.0", "to", "+40.0", "1"],
    ]
    assert start(compare, first, second, last, "--rows=a:b,b:a") == 0
    _, _, _, *lines = capsys.readouterr().out.splitlines()
    cells = [line.split()[1:6] for line in lines]
    assert cells == [
        ["a", "b", "90.0", "10.0", "+80.0"],
        ["b", "a", "30.0", "40.0", "-10.0"],
        ["b", "a", "50.0", "40.0", "+10.0"],
    ]


def test_a_folder_of_several_without_its_row_is_named(tmp_path, refusal):
    first = write(tmp_path / "first", {"a": row([9, 9])})
    second = write(tmp_path / "second", {"b": row([5, 5])})
    assert f"No row is in both folders, {second} (b) and {first} (a): " in refusal(
        compare, first, second, first
    )
    assert f"No row is in both folders, {second} (b)" in refusal(compare, first, second, first, "--rows=a")
    said = refusal(compare, first, first, second, "--rows=b:b")
    assert "Only the last folder may have the row 'b'" in said


def test_other_manifests_are_compared_only_where_that_is_asked_for(tmp_path, refusal, capsys):
    first = write(tmp_path / "first", {"a": row([9, 9, 9])}, manifest_sha256="m")
    second = write(tmp_path / "second", {"a": row([4, 4])}, manifest_sha256="other")
    said = refusal(compare, first, second)
    assert f"Row 'a' of {first} and row 'a' of {second} are of other manifests: evaluate one with" in said
    assert "--shared_episodes" in said
    assert start(compare, first, second, "--shared_episodes") == 0
    note, *_, line = capsys.readouterr().out.splitlines()
    assert note == (
        f"The manifests of {first} and {second} differ: only the 2 episodes that both have are compared."
    )
    assert line.split()[2:5] == ["90.0", "40.0", "+50.0"]
    assert start(compare, first, first, "--shared_episodes") == 0
    assert "manifests" not in capsys.readouterr().out


def test_classes_that_were_trained_on_are_told(tmp_path, capsys):
    first = write(tmp_path / "first", {"a": row([9, 9])}, trained_classes=["dog"])
    assert start(compare, first, write(tmp_path / "second", {"a": row([4, 4])})) == 0
    *_, line = capsys.readouterr().out.splitlines()
    assert line == f"{first} was trained on dog: this is no test on new classes."


@pytest.mark.parametrize("folders", [1, 2, 3])
def test_a_picture_of_the_differences(folders, tmp_path, capsys):
    first = write(tmp_path / "first", {"a": row([9, 9]), "b": row([3, 3])})
    picture = tmp_path / "new" / "compare.PNG"
    rows = "--rows=a:b,b:a"
    assert start(compare, *[first] * folders, rows, f"--picture={picture}") == 0
    assert capsys.readouterr().out.endswith(f"The picture is in {picture}.\n")
    with Image.open(picture) as image:
        assert image.format == "PNG"


def test_a_picture_is_a_png(tmp_path, refusal):
    folder = write(tmp_path / "one", {"a": row([9, 9]), "b": row([3, 3])})
    assert "--picture is 'a.jpg': name a PNG" in refusal(compare, folder, "--rows=a:b", "--picture=a.jpg")
    (tmp_path / "b.png").mkdir()
    assert "is a folder" in refusal(compare, folder, "--rows=a:b", f"--picture={tmp_path}/b.png")
