"""Every configuration is sound and builds its method; those of the papers hold the papers' numbers."""

import ast
from pathlib import Path

import jax
import pytest

import datasets
from fsjax import cli
from fsjax.config import check, trains
from fsjax.config.checking import flatten
from fsjax.errors import InputError
from fsjax.models import build

FOLDER = Path(__file__).parents[1] / "configs"
FILES = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("argument", ["", ":fold=1,ways=2,shots=5,seed=3"])
def test_a_configuration_is_sound(path, argument):
    config = cli.load_config(f"{path}{argument}")
    check(config)
    if argument:
        assert (config.fold, config.seed, config.eval.ways, config.eval.shots) == (1, 3, 2, 5)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_configuration_builds_its_method(path):
    config = cli.load_config(path)
    method = build.method(config.model)
    assert method.frozen == (config.model.name != "prnet")
    build.segment_settings(config)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_configuration_stands_alone_and_names_its_command(path):
    tree = ast.parse(path.read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"fsjax.config", "ml_collections"}
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))
    program = "train.py" if trains(cli.load_config(path)) else "eval.py"
    usual = path.stem == "prnet_shapes"  # which train.py takes by itself
    command = f"python {program}" if usual else f"python {program} --config=configs/{path.name}"
    assert command in (ast.get_docstring(tree) or "")


@pytest.mark.parametrize(
    ("name", "size", "batch", "epochs", "rate"),
    [("dpnet_pascal", 321, 4, 200, 0.0025), ("dpnet_coco", 641, 8, 20, 0.005)],
)
def test_the_papers_numbers(name, size, batch, epochs, rate):
    config = cli.load_config(FOLDER / f"{name}.py")
    train, switches = config.train, config.model.dpnet
    assert (train.size, config.batch_size, train.epochs, train.learning_rate) == (size, batch, epochs, rate)
    assert (config.eval.size, config.eval.beta, switches.beta) == (size, 0.2, 0.5)
    shapes = jax.eval_shape(build.method(config.model).init, jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(shapes["head"])) == 10_754_694


@pytest.mark.parametrize("name", ["prnet_pascal", "prnet_coco"])
def test_prnet_is_trained_as_its_paper_says(name):
    config = cli.load_config(FOLDER / f"{name}.py")
    train, evaluation = config.train, config.eval
    assert (config.model.backbone, config.model.scale, config.batch_size) == ("resnet101", 20, 1)
    assert (train.size, train.steps, train.optimizer, train.learning_rate) == (417, 30_000, "sgd", 7e-3)
    assert (train.momentum, train.weight_decay, train.decay) == (0.9, 5e-4, 0.1)
    assert (train.schedule, train.milestones) == ("step", (10_000, 20_000))
    assert (evaluation.adapt.steps, evaluation.runs, evaluation.episodes) == (5, 5, 1000)
    assert (train.void, train.support_void, evaluation.support_void) == ("ignore", "background", "background")


@pytest.mark.parametrize(
    ("name", "split", "tested"), [("panet_pascal", "", "trainaug"), ("panet_coco", "contiguous", "train")]
)
def test_panet_is_trained_and_tested_as_its_code_does(name, split, tested):
    config = cli.load_config(FOLDER / f"{name}.py")
    data, model, train, evaluation = config.data, config.model, config.train, config.eval
    assert (data.split, data.train_list, data.test_list, data.min_area) == (split, tested, tested, "none")
    assert (model.backbone, model.weights, model.support_loss, model.scale) == (
        "vgg16", "imagenet", "panet", 20
    )  # fmt: skip
    assert (train.size, train.steps, config.batch_size, train.ways, train.queries) == (417, 30_000, 1, 1, 1)
    assert (train.optimizer, train.learning_rate, train.momentum, train.weight_decay) == (
        "sgd", 1e-3, 0.9, 5e-4
    )  # fmt: skip
    assert (train.schedule, train.milestones, train.decay) == ("step", (10_000, 20_000), 0.1)
    assert (train.void, train.support_void, evaluation.void) == ("ignore", "background", "ignore")
    assert (evaluation.support_void, evaluation.counting) == ("background", "panet_compat")
    assert (evaluation.rows, evaluation.runs, evaluation.episodes) == (("fusion0",), 5, 1000)
    assert (evaluation.size, evaluation.input, evaluation.label) == (417, "square", "input")
    shapes = jax.eval_shape(build.method(model).init, jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(shapes)) == 14_714_688
    config = cli.set_fields(config, ["--config.model.backbone=resnet50"])
    assert build.method(config.model).backbone.imagenet() == "timm/resnet50.tv_in1k"


def test_panet_on_the_benchmark_differs_from_prnet_by_its_own_parts():
    panet, prnet = (flatten(cli.load_config(FOLDER / f"{name}_shapes.py")) for name in ("panet", "prnet"))
    assert {name for name in panet if panet[name] != prnet[name]} == {
        "model.support_loss", "train.support_void",
        "eval.rows", "eval.support_void", "eval.counting", "eval.adapt_episodes",
    }  # fmt: skip


def test_one_benchmark_is_the_same_for_both_methods():
    prnet, dpnet = (cli.load_config(FOLDER / f"{name}_shapes.py:fold=2") for name in ("prnet", "dpnet"))
    assert prnet.data == dpnet.data
    for name in ("backbone", "backbone_options"):
        assert prnet.model[name] == dpnet.model[name]
    different = {name for name in prnet.eval if prnet.eval[name] != dpnet.eval[name]}
    assert different == {"rows"}
    assert dpnet.model.weights == str(cli.run_folder(prnet))


@pytest.mark.parametrize("name", ["prnet_pascal", "dpnet_pascal", "prnet_coco", "dpnet_coco", "panet_coco"])
def test_a_benchmark_that_is_not_there_is_asked_for_in_one_sentence(name, tmp_path):
    config = cli.load_config(FOLDER / f"{name}.py")
    config.data.tfds_dir = str(tmp_path)
    with pytest.raises(InputError) as refusal:
        datasets.load(config.data)
    kind = config.data.name
    assert str(refusal.value) == (
        f"There is no data set {kind} in {tmp_path}: prepare it with python -m datasets.prepare "
        f"--dataset={kind} --manual_dir=DIR --tfds_dir={tmp_path}, or name another with config.data.name."
    )


@pytest.mark.parametrize(
    ("name", "area", "split"),
    [
        ("prnet_pascal", "none", ""), ("dpnet_pascal", "oslsm", ""),
        ("prnet_coco", "none", "interleaved"), ("dpnet_coco", "pfenet", "interleaved"),
    ],
)  # fmt: skip
def test_the_benchmarks_rules(name, area, split):
    config = cli.load_config(FOLDER / f"{name}.py")
    assert (config.data.min_area, config.eval.min_area, config.data.split) == (area, area, split)
