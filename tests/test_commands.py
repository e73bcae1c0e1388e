"""The programs as their users start them: what they write, and what they say to a mistake."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict

import eval as evaluation
import train
from configs import common
from fsjax import cli
from tests.voc import save_mask, save_photo

ROOT = Path(train.__file__).parent
CLASSES = {"cat": 8, "cow": 10, "dog": 12, "horse": 13}
PHOTOS = [f"{name}_{number}" for number in range(3) for name in CLASSES]
ROWS = ["rgb", "fusion0", "fusion2"]

CONFIG = """
from ml_collections import ConfigDict
from configs import common

def get_config(argument=""):
    config = common.get_config()
    config.fold = 1
    config.data.name, config.data.dir, config.data.tfds_dir = "pascal5i", "{voc}", "{built}"
    config.data.train_list = config.data.test_list = "all"
    config.data.folds = (("cat", "cow"), ("dog", "horse"))
    config.model.backbone = "small"
    config.model.backbone_options = ConfigDict(dict(
        stage_sizes=(1, 1), widths=(8, 8), strides=(2, 1), dilations=(1, 1), convention="torchvision"))
    config.train.size = config.eval.size = 32
    config.train.steps, config.train.checkpoint_every = 2, 1
    config.train.schedule, config.train.learning_rate = "constant", 1e-3
    config.eval.runs, config.eval.episodes, config.eval.batch_size, config.eval.pictures = 2, 4, 1, 2
    config.eval.rows = {rows}
    return common.apply(config, argument)
"""


def write_folder(root):
    """A VOC folder with three photos of each class, each with one coloured object, and a configuration."""
    rng, voc = np.random.default_rng(0), root / "voc"
    for name in PHOTOS:
        class_id = CLASSES[name.split("_")[0]]
        labels = np.zeros((36, 44), np.uint8)
        labels[8:26, 10:32] = class_id
        pixels = rng.integers(0, 90, (36, 44, 3), np.uint8)
        pixels[8:26, 10:32] = 60 * np.array([class_id % 2, class_id // 2 % 2, class_id // 8 % 4]) + 70
        save_photo(voc, name, pixels, labels)
    (voc / "all.txt").write_text("\n".join(PHOTOS))
    (root / "mini.py").write_text(CONFIG.format(voc=voc, built=root / "built", rows=tuple(ROWS)))
    return root


@pytest.fixture
def place(tmp_path):
    return write_folder(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a finished run in it."""
    root = write_folder(tmp_path_factory.mktemp("trained"))
    assert start(train, f"--config={root}/mini.py", f"--workdir={root}/run") == 0
    return root


def start(program, *arguments):
    return program.main([program.__file__, *map(str, arguments)])


@pytest.fixture
def refusal(capsys):
    """Starts a program that must refuse; returns its sentence."""

    def refused(program, *arguments):
        capsys.readouterr()
        assert start(program, *arguments) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("error: ")
        assert last.endswith((".", "?"))
        return last

    return refused


def results(folder):
    return json.loads((folder / "results.json").read_text())


def scores(folder):
    return [
        {name: value for name, value in row.items() if name != "seconds"} for row in results(folder)["rows"]
    ]


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What a run leaves behind


def test_a_run_writes_tables_pictures_curves_and_its_manifest(trained):
    run = trained / "run"
    for name in ("episodes.png", "learning_curve.png", "results.md", "checkpoints/2"):
        assert (run / name).exists()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2
    assert len((run / "manifest.jsonl").read_text().splitlines()) == 1 + 8
    assert len((run / "episodes.jsonl").read_text().splitlines()) == 8 * len(ROWS)
    found = results(run)
    assert (found["step"], found["fold"], found["classes"]) == (2, 1, ["dog", "horse"])
    assert [row["name"] for row in found["rows"]] == ROWS
    for row in found["rows"]:
        low, high = row["ci95"]
        assert 0 <= low <= row["mean_iou"] <= high <= 100
        assert row["mean_iou"] == pytest.approx(np.mean(list(row["per_class"].values())))
        assert 0 <= row["binary_iou"] <= 100
        assert (row["episodes"], row["seed"], len(row["manifest"])) == (8, 1234, 64)
        assert row["seconds"] > 0


def test_the_same_command_again_trains_no_further(trained, capsys):
    run = trained / "run"
    before, curve = scores(run), (run / "metrics.jsonl").read_bytes()
    assert start(train, f"--config={trained}/mini.py", f"--workdir={run}") == 0
    assert scores(run) == before
    assert (run / "metrics.jsonl").read_bytes() == curve
    assert "fusion2" in capsys.readouterr().out


def test_saved_episodes_give_the_same_scores_again(trained, tmp_path):
    run, drawn, read = f"--workdir={trained}/run", tmp_path / "drawn", tmp_path / "read"
    saved = tmp_path / "saved.jsonl"
    more = ("--config.eval.seed=5", "--config.eval.pictures=0")
    assert start(evaluation, run, f"--out={drawn}", f"--save_episodes={saved}", *more) == 0
    assert start(evaluation, run, f"--out={read}", f"--episodes={saved}", "--config.eval.pictures=0") == 0
    assert scores(read) == scores(drawn)
    assert {row["seed"] for row in scores(read)} == {5}
    assert {row["manifest"] for row in scores(drawn)} != {row["manifest"] for row in scores(trained / "run")}
    assert sorted(path.name for path in read.iterdir()) == ["episodes.jsonl", "results.json", "results.md"]


# Command lines


def test_help_names_every_flag(capsys):
    for program in (train, evaluation):
        with pytest.raises(SystemExit) as ended:
            start(program, "--help")
        assert not ended.value.code
        printed = capsys.readouterr().out
        assert all(f"--{name}" in printed for name in (*program.FLAGS, "config.FIELD"))


def test_a_process_ends_with_one_sentence():
    command = [sys.executable, "train.py", "--config.trian.steps=3"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == ("error: The configuration has no field trian.steps: did you mean train.steps?\n")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--config.train.steps=7", 7),
        ("--config.train.learning_rate=1", 1.0),
        ("--config.train.flip=false", False),
        ("--config.train.milestones=3,4", (3, 4)),
        ("--config.eval.rows=rgb", ("rgb",)),
        ("--config.eval.rows=rgb,fusion2", ("rgb", "fusion2")),
        ("--config.eval.rows=('rgb', 'fusion2')", ("rgb", "fusion2")),
        ("--config.model.weights=7.npz", "7.npz"),
        ("--config.data.folds=(('cat', 'dog'), ('cow',))", (("cat", "dog"), ("cow",))),
        ("--config.model.backbone_options={'stages': 2}", {"stages": 2}),
    ],
)
def test_fields_are_set(argument, value):
    config = cli.set_fields(common.get_config(), [argument])
    for name in argument.partition("=")[0].split(".")[1:]:
        config = config[name]
    found = config.to_dict() if isinstance(config, ConfigDict) else config
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--config.train.lerning_rate=1"], "no field train.lerning_rate: did you mean train.learning_rate?"),
        (["--config.shots=5"], "no field shots: did you mean"),
        (["--config.train.steps=abc"], "The field train.steps is of type int, and 'abc' is not."),
        (["--config.train.flip=perhaps"], "The field train.flip is of type bool, and 'perhaps' is not."),
        (["--config.train=3"], "The field train is of type ConfigDict, and '3' is not."),
        (["--config.train.steps"], "--config.train.steps has no value: write --config.train.steps=value."),
        (["--config.train.steps", "3"], "--config.train.steps has no value"),
        (["--config=nowhere.py"], "There is no configuration nowhere.py"),
        (["--config=README.md"], "There is no configuration README.md"),
        (["--config=configs/prnet_shapes.py:shot=5"], "'shot=5' behind the configuration's colon"),
        (["--wrkdir=runs"], "There is no flag --wrkdir: did you mean --workdir?"),
        (["--steps=3"], "There is no flag --steps."),
        (["steps=3"], "'steps=3' is not a flag: write --name=value."),
        (["--workdir"], "Missing value for flag --workdir: write --name=value."),
        (["--config.fold=4"], "fold=4 does not exist; choose one of 0 to 1."),
        (["--config.data.name=coco"], "config.data.name is 'coco': choose shapes or pascal5i."),
        (
            ["--config.model.backbone=vgg"],
            "model.backbone is 'vgg': choose one of resnet50, resnet101, small.",
        ),
        (["--config.eval.episodes=0"], "eval.runs, eval.episodes and eval.batch_size count: give 1 or more"),
        (["--config.eval.rows=fusion0,fusion9"], "eval.rows holds 'fusion9': choose from fusion0"),
        (["--config.eval.adapt.parameters=some"], "eval.adapt.parameters is 'some'"),
        (["--config.eval.input=round"], "input='round' is unknown"),
        (["--config.train.optimizer=rmsprop"], "train.optimizer is 'rmsprop': choose 'sgd' or 'adamw'."),
    ],
)
def test_a_bad_command_line_is_refused_before_anything_is_written(
    arguments, sentence, place, refusal, monkeypatch
):
    monkeypatch.chdir(ROOT)
    own = (
        []
        if any(argument.startswith("--config=") for argument in arguments)
        else [f"--config={place}/mini.py"]
    )
    assert sentence in refusal(train, *own, f"--workdir={place}/run", *arguments)
    assert files(place / "run") == {}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--out is missing"),
        (["--out=out", "--workdir=nowhere"], "There is no checkpoint in nowhere: train first"),
        (["--out=out", "--workdir=voc"], "There is no checkpoint in voc: train first"),
        (["--out=out", "--workdir=nowhere", "--config=mini.py"], "--config and --workdir exclude each other"),
        (
            ["--out=out", "--config=mini.py", "--episodes=nowhere.jsonl"],
            "manifest 'nowhere.jsonl' cannot be read",
        ),
    ],
)
def test_a_bad_evaluation_is_refused_before_anything_is_written(
    arguments, sentence, place, refusal, monkeypatch
):
    monkeypatch.chdir(place)
    assert sentence in refusal(evaluation, *arguments)
    assert not (place / "out").exists()
    assert not (place / "nowhere").exists()


@pytest.mark.parametrize("flag", ["--out", "--save_episodes"])
def test_a_place_that_cannot_be_written_to_is_refused_before_scoring(
    trained, tmp_path, refusal, flag, caplog
):
    places = {"--out": f"{tmp_path}/out", "--save_episodes": f"{tmp_path}/saved.jsonl"}
    places[flag] = f"{trained}/mini.py/in_a_file"
    sentence = refusal(
        evaluation, f"--workdir={trained}/run", *(f"{name}={place}" for name, place in places.items())
    )
    assert f"{trained}/mini.py" in sentence
    assert not any("episodes" in line for line in caplog.messages)
    assert files(tmp_path) == {}


def test_a_run_in_a_file_is_refused(place, refusal):
    sentence = refusal(train, f"--config={place}/mini.py", f"--workdir={place}/mini.py/run")
    assert f"{place}/mini.py/run cannot be written to" in sentence


def test_an_interrupted_program_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(train.cli, "load_config", interrupted)
    assert start(train) == 130
    assert "the same command goes on" in capsys.readouterr().err


# Data


def no_folder(voc):
    voc.rename(voc.with_name("moved"))


def no_list(voc):
    (voc / "all.txt").unlink()


def cut_photo(voc):
    photo = voc / "JPEGImages" / "dog_0.jpg"
    photo.write_bytes(photo.read_bytes()[:-200])


def other_size(voc):
    save_mask(voc / "SegmentationClassAug" / "dog_0.png", np.zeros((36, 40), np.uint8))


def other_value(voc):
    save_mask(voc / "SegmentationClassAug" / "dog_0.png", np.full((36, 44), 77, np.uint8))


def one_cat(voc):
    (voc / "all.txt").write_text("\n".join(name for name in PHOTOS if name not in ("cat_1", "cat_2")))


def one_dog(voc):
    (voc / "all.txt").write_text("\n".join(name for name in PHOTOS if name not in ("dog_1", "dog_2")))


def file_in_the_way(voc):
    (voc.parent / "built").write_text("not a folder")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (no_folder, "JPEGImages: set config.data.dir to a VOC folder."),
        (no_list, "There is no list 'all'"),
        (cut_photo, "dog_0.jpg is damaged"),
        (other_size, "dog_0.png is 40x36 and its photo 44x36 pixels: make them equal."),
        (other_value, "dog_0.png holds the value 77: allowed are 0 to 20 and 255."),
        (one_cat, "class 'cat' has 1 eligible images and an episode needs 2 of one class"),
        (one_dog, "class 'dog' has 1 eligible images and an episode needs 2 of one class"),
        (file_in_the_way, "cannot be read or written"),
    ],
)
def test_bad_data_are_refused_before_training(harm, sentence, place, refusal):
    harm(place / "voc")
    assert sentence in refusal(train, f"--config={place}/mini.py", f"--workdir={place}/run")
    assert files(place / "run") == {}


def support_without_its_class(header, line):
    line["support"] = [["cat_0"]]
    return "line 2: support image 'cat_0' shows no pixel of class '"


def other_fold(header, line):
    header["fold"] = 0
    return "holds episodes of fold 0, not of fold=1: name another."


@pytest.mark.parametrize("change", [support_without_its_class, other_fold])
def test_a_manifest_that_does_not_fit_is_refused(change, trained, tmp_path, refusal):
    header, first, *rest = (trained / "run" / "manifest.jsonl").read_text().splitlines()
    header, first = json.loads(header), json.loads(first)
    sentence = change(header, first)
    changed = tmp_path / "changed.jsonl"
    lines = "".join(f"{line}\n" for line in (json.dumps(first), *rest))
    header["sha256"] = hashlib.sha256(lines.encode()).hexdigest()
    changed.write_text(json.dumps(header) + "\n" + lines)
    out = tmp_path / "out"
    assert sentence in refusal(
        evaluation, f"--workdir={trained}/run", f"--out={out}", f"--episodes={changed}"
    )
    assert not out.exists()


# Checkpoints and weights


def test_a_checkpoint_of_another_architecture_is_refused(trained, tmp_path, refusal):
    writing = f"--out={tmp_path}/out", f"--save_episodes={tmp_path}/saved.jsonl"
    changed = "--config.model.backbone_options.widths=(8, 12)"
    sentence = refusal(evaluation, f"--workdir={trained}/run", *writing, changed)
    assert "is of another architecture" in sentence
    assert "layer2_0" in sentence
    assert list(tmp_path.iterdir()) == []


def test_a_run_keeps_its_configuration(trained, refusal):
    before = files(trained / "run")
    sentence = refusal(
        train, f"--config={trained}/mini.py", f"--workdir={trained}/run", "--config.train.learning_rate=0.5"
    )
    assert "began with train.learning_rate=0.001, not 0.5" in sentence
    assert files(trained / "run") == before


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ("nowhere.npz", "and nothing is there: name a .npz or .safetensors file"),
        ("backbone.pth", "weights are read from .npz or .safetensors"),
        ("other.npz", "the weight bn1.running_mean of shape (8,) is missing"),
    ],
)
def test_wrong_weights_are_refused(weights, sentence, place, refusal):
    np.savez(place / "other.npz", **{"features.weight": np.zeros(3, np.float32)})
    (place / "backbone.pth").write_bytes(b"PK")
    assert sentence in refusal(
        train,
        f"--config={place}/mini.py",
        f"--workdir={place}/run",
        f"--config.model.weights={place / weights}",
    )
    assert files(place / "run") == {}
