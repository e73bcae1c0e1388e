"""A run whose checkpoints hold a configuration of version 1 goes on, is evaluated, and lends its backbone."""

import json
from functools import reduce
from pathlib import Path

import pytest

from fsjax import experiment
from fsjax.config import upgrade
from fsjax.config.checking import flatten
from fsjax.errors import InputError
from fsjax.models import build
from fsjax.training import checkpoints
from fsjax.training.curves import read_metrics
from fsjax.training.runs import Run
from tests.runs import dpnet_config, prnet_config
from tests.same import assert_same_bits
from tests.training.interruption import interrupted_before

FIXTURES = Path(__file__).parents[1] / "fixtures"
READING = {"eval.fusion.threshold_over": "predicted"}
"""Version 1 knew no other reading of Eq. 14; it stays with its runs."""


@pytest.fixture(scope="module")
def old():
    """A configuration with the fields that version 1 stored, and the values of the run `whole`."""
    stored = json.loads((FIXTURES / "config_v1.json").read_text())
    for name, value in flatten(prnet_config()).items():
        *sections, last = name.split(".")
        part = reduce(lambda part, section: part.get(section, {}), sections, stored)
        if last in part:
            part[last] = value
    stored["model"]["backbone_options"] = {"widths": [4, 4, 8]}
    stored["data"]["version"] = "1.0.0"
    return json.loads(json.dumps(stored))


@pytest.fixture(scope="module")
def config(old):
    config, _ = upgrade(old)
    assert config.to_dict() == prnet_config(READING).to_dict()
    return config


def save_as_version_1(patch, old):
    patch.setattr(checkpoints, "store", lambda config, found: old)
    patch.setattr(checkpoints, "seal", lambda stored, arrays: stored)


@pytest.fixture
def as_version_1(monkeypatch, old):
    """What is saved now is saved as version 1 did: the configuration bare."""
    save_as_version_1(monkeypatch, old)


@pytest.fixture
def old_run(tmp_path, as_version_1, config, sources):
    """A finished run of version 1."""
    experiment.train(config, sources, tmp_path / "old")
    return Run.open(tmp_path / "old")


def test_what_version_1_stored_is_told_apart(old_run, config):
    assert old_run.config.to_dict() == config.to_dict()
    assert old_run.found == {"data_version": "1.0.0", "steps": 6}


def test_an_old_run_goes_on(tmp_path, old, config, sources, whole, monkeypatch):
    with monkeypatch.context() as patch:
        save_as_version_1(patch, old)
        with interrupted_before(5, monkeypatch):
            experiment.train(config, sources, tmp_path)
    assert "base_classes" not in Run.open(tmp_path).found
    run = experiment.train(config, sources, tmp_path)
    assert read_metrics(tmp_path) == read_metrics(whole)
    method = build.method(config.model)
    assert_same_bits(run.variables(method), Run.open(whole).variables(method))
    assert Run.open(tmp_path).found["base_classes"] == ["cat", "dog", "emu", "fox"]


def test_an_old_run_is_evaluated(tmp_path, old_run, whole, sources):
    of_old, of_new = (
        experiment.evaluate(config, sources, tmp_path / name, run=run)
        for name, run, config in (
            ("of_old", old_run, old_run.config),
            ("of_new", Run.open(whole), prnet_config(READING)),
        )
    )
    assert [row["mean_iou"] for row in of_old.rows] == [row["mean_iou"] for row in of_new.rows]
    assert of_old.description.step == 6


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("", "fold", 1),
        ("data", "name", "other"),
        ("data", "folds", (("cat",),)),
        ("data", "split", "contiguous"),
        ("data", "fold_count", 3),
        ("data", "fold_seed", 1),
        ("data", "leave_out", ("ant",)),
    ],
)
def test_an_old_run_that_names_no_classes_stays_with_its_fold(
    section, field, value, tmp_path, old_run, config, sources
):
    changed = config.copy_and_resolve_references()
    (changed[section] if section else changed)[field] = value
    with pytest.raises(InputError, match=f"{field}="):
        experiment.evaluate(changed, sources, tmp_path / "out", run=old_run)
    assert not (tmp_path / "out").exists()


def test_an_old_run_lends_its_backbone(tmp_path, old_run, sources):
    values = {"model.weights": str(old_run.folder), "train.steps": 1}
    run = experiment.train(dpnet_config(values), sources, tmp_path / "dpnet")
    lent = run.variables(build.method(run.config.model))["backbone"]
    assert_same_bits(lent, old_run.variables(build.method(old_run.config.model))["backbone"])
    assert run.found["backbone_classes"] == ["cat", "dog", "emu", "fox"]
