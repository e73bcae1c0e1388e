"""eval.py as its users start it: what it writes, what made it, and the episodes that give it again."""

import hashlib
import json
import statistics

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

import datasets
import eval as evaluation
import fsjax
from fsjax.cli import load_config
from fsjax.evaluation.pictures import sheet
from fsjax.evaluation.results import read_records
from fsjax.models import build
from fsjax.training import frozen
from fsjax.training.runs import Run
from tests.commands.programs import CLASSES, results, scores, start


@pytest.fixture(scope="module")
def drawn(trained, tmp_path_factory):
    """Results on episodes of another seed."""
    out = tmp_path_factory.mktemp("evaluated") / "drawn"
    arguments = f"--workdir={trained}/run", f"--out={out}", "--config.eval.seed=5", "--config.eval.pictures=0"
    assert start(evaluation, *arguments) == 0
    return out


def test_the_manifest_beside_the_results_gives_them_again(trained, drawn, tmp_path):
    names = [".claimed", "episodes.jsonl", "manifest.jsonl", "results.json", "results.md"]
    assert sorted(path.name for path in drawn.iterdir()) == names
    read, manifest = tmp_path / "read", drawn / "manifest.jsonl"
    arguments = f"--workdir={trained}/run", f"--out={read}", f"--episodes={manifest}"
    assert start(evaluation, *arguments, "--config.eval.pictures=0", "--config.eval.seed=99") == 0
    assert scores(read) == scores(drawn)
    assert {row["seed"] for row in scores(read)} == {5}
    for name in ("manifest.jsonl", "episodes.jsonl"):
        assert (read / name).read_bytes() == (drawn / name).read_bytes()
    assert {row["manifest"] for row in scores(drawn)} != {row["manifest"] for row in scores(trained / "run")}


def test_the_best_and_the_worst_episodes_are_drawn(trained, drawn, tmp_path, monkeypatch):
    shown, kept = [], sheet.draw
    monkeypatch.setattr(
        sheet, "draw", lambda folder, ones, *more: (shown.extend(ones), kept(folder, ones, *more))
    )
    same = f"--workdir={trained}/run", f"--episodes={drawn}/manifest.jsonl", "--config.eval.pictures=3"
    assert start(evaluation, *same, f"--out={tmp_path}", "--config.eval.pictures_of=spread") == 0
    assert [one.note for one in shown] == ["best", "median", "worst"]
    names = ["episodes.png", "fusion.png", "stages.png"]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == names
    ious = []
    for record in read_records(tmp_path / "episodes.jsonl"):
        if record["row"] == "fusion2":
            (((_, false), (missed, hit), _),) = record["confusion"]
            ious.append((hit / (hit + missed + false), record["class_ids"]))
    ends = [[CLASSES[name] for name in shown[place].classes] for place in (0, 2)]
    assert (max(ious)[0], ends[0]) in ious
    # The very worst may be of a photo that is shown already.
    assert min(iou for iou, ids in ious if ids == ends[1]) < statistics.median(iou for iou, _ in ious)


def test_episodes_are_saved_without_evaluating(trained, drawn, tmp_path, capsys, caplog):
    saved = tmp_path / "saved.jsonl"
    arguments = f"--workdir={trained}/run", f"--save_episodes={saved}", "--config.eval.seed=5"
    assert start(evaluation, *arguments) == 0
    assert capsys.readouterr().out == f"8 episodes are in {saved}.\n"
    assert not any("Evaluating" in line for line in caplog.messages)
    assert [path.name for path in tmp_path.iterdir()] == ["saved.jsonl"]
    assert saved.read_bytes() == (drawn / "manifest.jsonl").read_bytes()


def test_results_say_what_made_them(trained, drawn):
    found = results(drawn)
    assert found["provenance"]["fsjax"] == fsjax.__version__
    assert found["provenance"]["jax"] == jax.__version__
    assert (found["provenance"]["device"], found["provenance"]["devices"]) == ("cpu", 8)
    assert {"commit", "clean", "jaxlib", "flax", "numpy", "python"} <= found["provenance"].keys()
    run = Run.open(trained / "run")
    assert found["checkpoint_sha256"] == frozen.digest(run.variables(build.method(run.config.model)))
    lines = (drawn / "manifest.jsonl").read_bytes().partition(b"\n")[2]
    assert found["manifest_sha256"] == hashlib.sha256(lines).hexdigest()
    assert (found["title"], found["data_set"]) == ("VOC folder: 12 photos, other folds", "mini")
    assert found["version"] == datasets.load(run.config.data)["test"].version
    assert found["weights_sha256"] is None
    assert found["config"]["eval"]["seed"] == 5
    assert "VOC folder: 12 photos" in (drawn / "results.md").read_text()


def test_an_earlier_checkpoint_is_evaluated(trained, tmp_path, refusal):
    arguments = f"--workdir={trained}/run", f"--out={tmp_path}/out", "--config.eval.pictures=0"
    assert start(evaluation, *arguments, "--step=1") == 0
    found, earlier, last = results(tmp_path / "out"), Run.open(trained / "run", 1), Run.open(trained / "run")
    assert (found["step"], last.step) == (1, 2)
    digests = [frozen.digest(run.variables(build.method(run.config.model))) for run in (earlier, last)]
    assert found["checkpoint_sha256"] == digests[0] != digests[1]
    said = refusal(evaluation, f"--workdir={trained}/run", f"--out={tmp_path}/none", "--step=7")
    assert f"There is no checkpoint 7 in {trained}/run, only [1, 2]: name one of these" in said
    for arguments in (
        ["--step=last", f"--workdir={trained}/run"],
        ["--step=1", f"--config={trained}/mini.py"],
    ):
        assert "give the number of a checkpoint" in refusal(evaluation, f"--out={tmp_path}/none", *arguments)
    assert not (tmp_path / "none").exists()


def test_weights_without_a_run_are_named_by_their_hash(trained, tmp_path):
    backbone = tmp_path / "made.safetensors"
    make_weights(backbone)
    arguments = f"--config={trained}/mini.py", f"--out={tmp_path}/out", f"--config.model.weights={backbone}"
    assert start(evaluation, *arguments, "--config.eval.pictures=0", "--config.eval.rows=fusion0") == 0
    found = results(tmp_path / "out")
    method = build.method(load_config(trained / "mini.py").model)
    assert found["weights_sha256"] == frozen.digest(method.backbone.load(backbone))
    assert (found["checkpoint_sha256"], found["step"]) == (None, None)


def make_weights(path):
    """Writes a file for the backbone of widths 4, 4 and 8, with torchvision's key names."""
    rng, weights = np.random.default_rng(0), {}

    def layer(conv, norm, outputs, inputs, side):
        weights[f"{conv}.weight"] = rng.normal(0, 0.2, (outputs, inputs, side, side)).astype(np.float32)
        for key in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{norm}.{key}"] = rng.uniform(0.5, 1, outputs).astype(np.float32)

    layer("conv1", "bn1", 4, 3, 7)
    for stage, (inputs, outputs) in enumerate([(4, 4), (4, 4), (4, 8)], 1):
        block = f"layer{stage}.0"
        layer(f"{block}.conv1", f"{block}.bn1", outputs, inputs, 3)
        layer(f"{block}.conv2", f"{block}.bn2", outputs, outputs, 3)
        if stage > 1:
            layer(f"{block}.downsample.0", f"{block}.downsample.1", outputs, inputs, 1)
    save_file(weights, path)


def support_without_its_class(header, line):
    line["support"] = [["cat_0"]]
    return "line 2: support image 'cat_0' shows no pixel of class '"


def other_fold(header, line):
    header["fold"] = 0
    return "holds episodes of fold 0, not of fold=1: name another."


def other_classes(header, line):
    header["classes"] = {"cat": 8, "cow": 10}
    line["class_ids"] = [8]
    return "holds episodes of"


@pytest.mark.parametrize("change", [support_without_its_class, other_fold, other_classes])
def test_a_manifest_that_does_not_fit_is_refused(change, trained, tmp_path, refusal):
    header, first, *_ = (trained / "run" / "manifest.jsonl").read_text().splitlines()
    header, first = json.loads(header), json.loads(first)
    sentence = change(header, first)
    if change is other_classes:
        first["support"], first["query"] = [["cat_0"]], ["cat_1"]
    changed, line = tmp_path / "changed.jsonl", json.dumps(first) + "\n"
    del header["header_sha256"]
    header["sha256"] = hashlib.sha256(line.encode()).hexdigest()
    changed.write_text(json.dumps({**header, "runs": 1}) + "\n" + line)
    arguments = f"--workdir={trained}/run", f"--out={tmp_path}/out", f"--episodes={changed}"
    assert sentence in refusal(evaluation, *arguments)
    assert not (tmp_path / "out").exists()


def test_a_trained_fold_is_evaluated_only_where_that_is_asked_for(trained, tmp_path, refusal, capsys):
    run, out = f"--workdir={trained}/run", f"--out={tmp_path}/out"
    folds = "--config.data.folds=(('dog', 'horse'), ('cat', 'cow'))"  # fold 1 means other classes
    for change in ("--config.fold=0", folds):
        sentence = refusal(evaluation, run, out, change)
        assert f"The run in {trained}/run was trained on cat, cow: " in sentence
        assert not (tmp_path / "out").exists()
    allowed = "--config.eval.allow_trained_classes=True"
    assert start(evaluation, run, out, "--config.fold=0", allowed, "--config.eval.pictures=0") == 0
    marked = "Trained on (*): cat, cow. This is no test on new classes."
    assert marked in capsys.readouterr().out
    assert marked in (tmp_path / "out" / "results.md").read_text()
    assert results(tmp_path / "out")["trained_classes"] == ["cat", "cow"]


@pytest.mark.parametrize("field", ["model.scale=10", "train.size=64", "model.backbone_options.widths=4,4,12"])
def test_an_evaluation_does_not_change_the_network(field, trained, tmp_path, refusal):
    arguments = f"--workdir={trained}/run", f"--out={tmp_path}/out", f"--config.{field}"
    sentence = refusal(evaluation, *arguments)
    assert f"was made with {field.partition('=')[0]}=" in sentence
    assert "an evaluation cannot change it" in sentence
    assert not (tmp_path / "out").exists()
