"""Data, weights and checkpoints that do not do: refused in a sentence, before anything is written."""

import os
import shutil
import tempfile

import numpy as np
import pytest

import datasets
import eval as evaluation
import train
from fsjax import cli
from fsjax.files import claimed
from fsjax.training.runs import Run
from tests.commands.programs import PHOTOS, files, prepare, results, start


def not_prepared(place):
    shutil.rmtree(place / "built")


def one_cat(place):
    not_prepared(place)
    prepare(place, [name for name in PHOTOS if name not in ("cat_1", "cat_2")])


def one_dog(place):
    not_prepared(place)
    prepare(place, [name for name in PHOTOS if name not in ("dog_1", "dog_2")])


def damaged_description(place):
    (path,) = (place / "built" / "mini").rglob("metadata.json")
    path.write_text(path.read_text().replace("all", "none"))


def file_in_the_way(place):
    not_prepared(place)
    (place / "built").write_text("not a folder")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (not_prepared, "built: prepare it with python -m datasets.prepare --dataset=folders --name=mini"),
        (one_cat, "class 'cat' has 1 eligible images and an episode needs 2 of one class"),
        (one_dog, "class 'dog' has 1 eligible images and an episode needs 2 of one class"),
        (damaged_description, "is damaged (ValueError): delete the folder, and prepare it again."),
        (file_in_the_way, "There is no data set mini in"),
    ],
)
def test_bad_data_are_refused_before_training(harm, sentence, place, refusal):
    harm(place)
    assert sentence in refusal(train, f"--config={place}/mini.py", f"--workdir={place}/run")
    assert files(place / "run") == {}


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--config.fold=4", "fold=4 does not exist; choose one of 0 to 1."),
        (
            "--config.data.name=coco20i",
            "(there is mini): prepare it with python -m datasets.prepare --dataset=coco",
        ),
        ("--config.data.name=../voc", "'../voc' is no name for a data set"),
        ("--config.data.train_list=trainaug", "mini has no list 'trainaug': it has all."),
        (
            "--config.data.folds=(('cat', 'dgo'),)",
            "data.folds has the class 'dgo', which the data set has not: is it 'dog'?",
        ),
        (
            "--config.data.leave_out=cta",
            "data.leave_out has the class 'cta', which the data set has not: is it 'cat'?",
        ),
        ("--config.eval.ways=3", "ways=3 needs as many classes, and there are 2"),
        ("--config.train.shots=9", "an episode needs 10 of one class"),
        ("--config.data.min_area=100000", "0 eligible images"),
    ],
)
def test_settings_that_do_not_fit_the_data_are_refused_before_training(argument, sentence, place, refusal):
    assert sentence in refusal(train, f"--config={place}/mini.py", f"--workdir={place}/run", argument)
    assert files(place / "run") == {}


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ("nowhere.npz", "and nothing is there: name a .npz or .safetensors file"),
        ("backbone.onnx", "weights are read from .npz or .safetensors"),
        ("other.npz", "the weight bn1.running_mean of shape (4,) is missing"),
        ("voc", "There is no checkpoint in"),
    ],
)
@pytest.mark.parametrize("program", [train, evaluation], ids=lambda program: program.__name__)
def test_wrong_weights_are_refused(program, weights, sentence, place, refusal):
    np.savez(place / "other.npz", **{"features.weight": np.zeros(3, np.float32)})
    (place / "backbone.onnx").write_bytes(b"PK")
    out = f"--workdir={place}/run" if program is train else f"--out={place}/run"
    arguments = f"--config={place}/mini.py", out, f"--config.model.weights={place / weights}"
    assert sentence in refusal(program, *arguments)
    assert files(place / "run") == {}


def damaged(trained, folder, harm, part):
    """Copies a run, cutting or losing the files of a part of its latest checkpoint."""
    shutil.copytree(trained / "run", folder / "run")
    place = folder / "run" / "checkpoints" / "2" / part
    for path in [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        path.unlink()
        if harm == "cut":
            path.write_bytes(whole[: len(whole) // 2])
    return folder / "run"


@pytest.mark.parametrize(
    ("harm", "part"),
    [
        ("cut", "config"),
        ("lost", "config"),
        ("cut", "state/_METADATA"),
        ("cut", "state/d"),
        ("lost", "state"),
    ],
)
def test_a_damaged_checkpoint_is_refused_by_name_and_else_skipped(harm, part, trained, tmp_path, refusal):
    run = damaged(trained, tmp_path, harm, part)
    sentence = refusal(evaluation, f"--workdir={run}", f"--out={tmp_path}/out", "--step=2")
    assert sentence.startswith(f"error: Checkpoint 2 in {run} is damaged (")
    assert sentence.endswith("): name another step.")
    assert not (tmp_path / "out").exists()
    assert Run.open(run).step == 1


def test_the_newest_sound_checkpoint_is_evaluated_and_another_evaluation_beside_it_is_not(
    trained, tmp_path, refusal, capsys
):
    run, out = damaged(trained, tmp_path, "cut", "state/d"), tmp_path / "out"
    with claimed(out):
        sentence = refusal(evaluation, f"--workdir={run}", f"--out={out}")
        assert f"Another process is at work in {out}: wait for it to end, or name another folder." in sentence
    assert not out.exists()
    assert start(evaluation, f"--workdir={run}", f"--out={out}") == 0
    assert results(out)["step"] == 1
    assert "and skipped: the newest sound one is 1" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--out", "--save_episodes"])
def test_a_place_that_cannot_be_written_to_is_refused_before_scoring(trained, refusal, flag, caplog):
    place = f"{trained}/mini.py/in_a_file"
    sentence = refusal(evaluation, f"--workdir={trained}/run", f"{flag}={place}")
    assert f"{trained}/mini.py" in sentence
    assert not any("Evaluating" in line for line in caplog.messages)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Name a folder for the tables and pictures with --out, or a file with --save_episodes"),
        (["--out=out", "--save_episodes=episodes.jsonl"], "one of both"),
        (["--out=out", "--workdir=nowhere"], "There is no checkpoint in nowhere: train first"),
        (["--out=out", "--workdir=voc"], "There is no checkpoint in voc: train first"),
        (["--out=out", "--workdir=nowhere", "--config=mini.py"], "--config and --workdir exclude each other"),
        (["--out=out", "--config=mini.py", "--episodes=no.jsonl"], "manifest 'no.jsonl' cannot be read"),
    ],
)
def test_a_bad_evaluation_is_refused_before_anything_is_written(
    arguments, sentence, place, refusal, monkeypatch
):
    monkeypatch.chdir(place)
    assert sentence in refusal(evaluation, *arguments)
    assert {path.name for path in place.iterdir()} <= {"voc", "built", "mini.py"}


def test_exit_codes_tell_input_system_and_bugs_apart(place, capsys, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    command = f"--config={place}/mini.py", f"--workdir={place}/run"

    def code_of(error, *more):
        def fail(config):
            raise error

        monkeypatch.setattr(datasets, "load", fail)
        code = start(train, *command, *more)
        return code, capsys.readouterr().err

    code, said = code_of(PermissionError(13, os.strerror(13), "runs/mine"))
    sentence = "The system refused runs/mine: Permission denied: make room or name another place."
    assert (code, said) == (cli.INPUT_ERROR, f"error: {sentence}\n")
    code, said = code_of(KeyError("colour"))
    (log,) = place.glob("fsjax_*.log")
    assert code == cli.BUG
    assert said.startswith("error: This is a bug in fsjax (KeyError)")
    assert str(log) in said
    assert "KeyError: 'colour'" in log.read_text()
    code, said = code_of(KeyError("colour"), "--debug")
    assert code == cli.BUG
    assert said.startswith("Traceback")
    assert code_of(KeyboardInterrupt())[0] == cli.INTERRUPTED
