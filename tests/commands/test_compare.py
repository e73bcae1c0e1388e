"""fsjax.compare as its users start it."""

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
    assert "Name the folder" in refusal(compare, folder, folder, folder)
    assert "Name rows of this folder to compare" in refusal(compare, folder)
    assert "Name rows of this folder to compare" in refusal(compare, folder, "--rows=a")
    assert "No row is in both folders" in refusal(compare, folder, other)
    assert f"There is no {tmp_path}/results.json" in refusal(compare, tmp_path)
    assert "has no row 'fusion7': choose from a, b" in refusal(compare, folder, "--rows=fusion7:a")
    assert "There is no flag --row" in refusal(compare, folder, "--row=a")
