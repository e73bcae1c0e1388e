"""fsjax.analyze as its users start it."""

import csv
import json

import pytest
from PIL import Image

from fsjax import analyze
from tests.commands.programs import results, start
from tests.evaluation.test_results import row, write

FILES = [
    "by_class.csv",
    "by_labelled_classes.csv",
    "by_parts.csv",
    "by_size.csv",
    "failures.csv",
    "failures.png",
]


def test_an_evaluation_is_analysed_into_a_folder(trained, tmp_path, capsys):
    before = sorted((trained / "run").iterdir())
    assert start(analyze, trained / "run", f"--out={tmp_path / 'out'}") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    assert sorted((trained / "run").iterdir()) == before
    said = capsys.readouterr().out
    assert f"failures.png are in {tmp_path / 'out'}." in said
    (scored,) = (one for one in results(trained / "run")["rows"] if one["name"] == "fusion2")
    with (tmp_path / "out" / "by_class.csv").open(newline="") as file:
        found = {line["class"]: float(line["iou"]) for line in csv.DictReader(file)}
    assert found == pytest.approx(scored["per_class"], abs=0.005)
    with (tmp_path / "out" / "failures.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 8
    assert {(line["parts"], line["labelled_classes"]) for line in lines} == {("1", "1")}
    with Image.open(tmp_path / "out" / "failures.png") as picture:
        assert picture.format == "PNG"


def test_an_evaluation_without_a_manifest_or_a_known_method(tmp_path, capsys):
    write(tmp_path, {"theirs": row([9, 2, 7, 4])}, class_ids=[1, 2])
    assert start(analyze, tmp_path) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["cat", "80.0", "70.0", "to", "90.0", "2"] in lines
    assert ["dog", "30.0", "20.0", "to", "40.0", "2"] in lines
    assert not (tmp_path / "by_parts.csv").exists()


def test_older_evaluations_tell_their_classes_by_their_manifest(tmp_path, capsys, refusal, trained):
    folder = write(tmp_path / "old", {"fusion2": row([9, 2])})
    assert "does not say which classes its ids are; evaluate again" in refusal(analyze, folder)
    first = json.loads((trained / "run" / "manifest.jsonl").read_text().splitlines()[0])
    del first["header_sha256"]  # which they had not
    manifest = folder / "manifest.jsonl"
    manifest.write_text(json.dumps(first | {"classes": {"dog": 1, "cat": 2}}) + "\n")
    assert start(analyze, folder) == 0
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert ["cat", "20.0"] in lines
    assert ["dog", "90.0"] in lines
    manifest.write_text("{}\n")
    assert "line 1: not a header of episodes" in refusal(analyze, folder)


def test_what_is_to_be_analysed_has_to_be_said(tmp_path, refusal):
    folder = write(tmp_path / "one", {"a": row([9, 9]), "b": row([3, 3])}, class_ids=[1, 2])
    assert "Name the folder of an evaluation's results, one" in refusal(analyze)
    assert "Name the folder of an evaluation's results, one" in refusal(analyze, folder, folder)
    assert f"Name a row of {folder} with --row: choose from a, b." in refusal(analyze, folder)
    assert "has no row 'fusion2': choose from a, b" in refusal(analyze, folder, "--row=fusion2")
    assert f"There is no {tmp_path}/results.json" in refusal(analyze, tmp_path)
    place = tmp_path / "file"
    place.write_text("")
    assert f"{place} cannot be written to" in refusal(analyze, folder, "--row=a", f"--out={place}")
    assert not (folder / "failures.csv").exists()
