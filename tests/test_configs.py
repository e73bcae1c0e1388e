"""Every configuration builds its method; those of the papers hold the papers' numbers."""

from pathlib import Path

import jax
import pytest

import datasets
from fsjax import cli
from fsjax.errors import InputError
from fsjax.evaluation.rows import check_rows
from fsjax.evaluation.scales import Scales
from fsjax.models.method import build

FOLDER = Path(__file__).parents[1] / "configs"
FILES = sorted(path for path in FOLDER.glob("*.py") if path.stem not in ("__init__", "common"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_configuration_builds_its_method(path):
    config = cli.load_config(f"{path}:fold=0,shots=5,seed=3")
    method = build(config.model)
    method.settings(config.eval)
    check_rows(config.eval.rows, method)
    assert (config.seed, config.eval.shots) == (3, 5)


@pytest.mark.parametrize(
    ("name", "size", "batch", "epochs", "rate"),
    [("dpnet_pascal", 321, 4, 200, 0.0025), ("dpnet_coco", 641, 8, 20, 0.005)],
)
def test_the_papers_numbers(name, size, batch, epochs, rate):
    config = cli.load_config(FOLDER / f"{name}.py")
    train, switches = config.train, config.model.dpnet
    assert (train.size, config.batch_size, train.epochs, train.learning_rate) == (size, batch, epochs, rate)
    assert (config.eval.size, config.eval.beta, switches.beta) == (size, 0.2, 0.5)
    shapes = jax.eval_shape(build(config.model).init, jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(shapes["head"])) == 10_754_694


def test_scales_are_given_on_the_command_line():
    config = cli.load_config(FOLDER / "dpnet_pascal.py")
    cli.set_fields(config, ["--config.eval.scales=0.7,1.0,1.3"])
    assert Scales(config.eval.scales).factors == (0.7, 1.0, 1.3)


def test_coco_is_still_to_come():
    config = cli.load_config(FOLDER / "dpnet_coco.py")
    with pytest.raises(InputError, match="coco20i is still to come"):
        datasets.load(config.data)
