"""fsjax.export as its users start it, on a run that train.py made."""

import json
import shutil

import numpy as np
import pytest

from fsjax import export
from fsjax.segmenter import Segmenter
from fsjax.training import release
from tests.commands.programs import files, start


def told(said):
    """The aligned text as what is said of each thing."""
    lines = [line for line in said.splitlines()[1:] if not line.startswith(" ")]
    return {line[:12].strip(): line[12:].strip() for line in lines}


def test_a_run_is_exported_and_its_file_shown(trained, tmp_path, capsys):
    file, before = tmp_path / "cats.safetensors", files(trained / "run")
    assert start(export, trained / "run", file) == 0
    first = capsys.readouterr().out
    assert start(export, "--show", file) == 0
    assert capsys.readouterr().out == first
    assert f"{file}: 0.0" in first
    assert "MB, sha256 " in first
    facts = told(first)
    assert facts["method"].startswith("prnet on small, widths")
    assert facts["checkpoint"] == "step 2 of 2"
    assert facts["data"].startswith("mini ")
    assert (facts["trained on"], facts["held out"]) == ("cat, cow", "dog, horse")
    (row,) = (row for row in results_of(trained) if row["name"] == "fusion2")
    assert f"fusion2 {row['mean_iou']:.1f} (" in facts["scores"]
    assert f"fsjax {release.read(file).header['fsjax']}, jax " in facts["exported by"]
    assert files(trained / "run") == before


def results_of(trained):
    return json.loads((trained / "run" / "results.json").read_text())["rows"]


def test_the_file_finds_what_the_run_finds_bit_for_bit(trained, tmp_path):
    file = tmp_path / "x.safetensors"
    assert start(export, trained / "run", file) == 0
    rng = np.random.default_rng(0)
    shown, query = rng.integers(0, 256, (2, 36, 44, 3), np.uint8)
    mask = np.zeros((36, 44), np.uint8)
    mask[8:26, 10:32] = 1
    by_run = Segmenter.load(trained / "run").fit([shown], [mask])
    by_file = Segmenter.load(file).fit([shown], [mask])
    for found, wanted in zip(by_file.segment([query]), by_run.segment([query]), strict=True):
        np.testing.assert_array_equal(found.mask, wanted.mask)


def test_scores_of_another_checkpoint_or_damaged_ones_are_left_out(trained, tmp_path, capsys):
    run, file = tmp_path / "run", tmp_path / "x.safetensors"
    shutil.copytree(trained / "run", run)
    assert start(export, run, file, "--step=1") == 0
    assert "scores" not in told(capsys.readouterr().out)
    assert release.read(file).header["step"] == 1
    (run / "episodes.jsonl").write_text("{}\n")
    assert start(export, run, file) == 0
    assert "scores" not in told(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Name the folder of a run and the file to write, or with --show one file alone"),
        (["{run}"], "Name the folder of a run and the file to write"),
        (["--show", "{run}", "x.safetensors"], "with --show one file alone"),
        (["{run}", "{out}/x.npz"], "let its name end in .safetensors"),
        (["{run}", "{out}/x.safetensors", "--step=last"], "--step is 'last': give the number"),
        (["{run}", "{out}/x.safetensors", "--step=7"], "There is no checkpoint 7"),
        (["{out}/nothing", "{out}/x.safetensors"], "There is no checkpoint in"),
        (["--show", "{run}/results.json"], "is no exported model"),
        (["--show", "{out}/absent.safetensors"], "there is no such file"),
        (["--show", "{run}"], "there is no such file"),
    ],
)
def test_bad_input_is_one_sentence(trained, tmp_path, refusal, arguments, sentence):
    places = {"run": trained / "run", "out": tmp_path}
    assert sentence in refusal(export, *(argument.format(**places) for argument in arguments))
    assert list(tmp_path.iterdir()) == []
