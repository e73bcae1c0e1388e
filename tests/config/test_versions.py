"""Runs stored by any version are opened."""

import json
from pathlib import Path

import pytest

from fsjax import cli
from fsjax.config import VERSION, check, check_resumable, default, store, upgrade
from fsjax.errors import InputError
from tests.config.changed import changed

ROOT = Path(__file__).parents[2]
VERSION_1 = ROOT / "tests" / "fixtures" / "config_v1.json"


@pytest.fixture
def version_1():
    return json.loads(VERSION_1.read_text())


def test_a_run_of_version_1_is_opened(version_1):
    config, found = upgrade(version_1)
    check(config)
    assert (config.train.ways, config.train.learning_rate, config.model.backbone) == (12, 0.008, "small")
    assert (config.eval.rows[0], config.train.milestones, config.data.folds) == ("rgb", (10_000, 20_000), ())
    assert found == {"data_version": "1.1.0", "steps": 1500}
    assert config.model.backbone_options.to_dict() == {}  # statistics of batches are that network's default
    assert (config.eval.memory, config.eval.fusion.threshold_over) == (4.0, "predicted")


def test_what_version_1_kept_elsewhere_is_moved(version_1):
    version_1["model"] |= {
        "name": "dpnet", "backbone": "resnet50", "backbone_sha256": "abc", "batch_statistics": False,
        "backbone_options": {"stages": 3, "convention": "torchvision", "first_block_dilation": "stage"},
    }  # fmt: skip
    version_1["train"] |= {"epochs": 200, "policy": "pair_epoch", "steps": 12_000, "ways": 1, "queries": 1}
    version_1 |= {"batch_size": 4, "lr_scaling": "linear"}
    config, found = upgrade(version_1)
    check(config)
    assert config.model.backbone_options.to_dict() == {"stages": 3, "first_block_dilation": "stage"}
    assert config.train.steps == default().train.steps
    assert found == {"data_version": "1.1.0", "backbone_sha256": "abc", "steps": 3000}


def test_batch_statistics_of_version_1_are_options_of_the_backbone(version_1):
    version_1["model"]["backbone"] = "resnet101"
    assert upgrade(version_1)[0].model.backbone_options.to_dict() == {"batch_statistics": True}


def test_folders_and_pixels_of_version_2_are_names_now():
    stored = store(
        changed({"data.name": "pascal5i", "data.train_list": "oslsm"}), {"data_version": "1.0.0-abc"}
    )
    stored["version"] = 2
    for pixels, rule in ((0, "none"), (1, "none"), (200, "200"), (2048, "pfenet")):
        stored["config"]["data"] |= {"dir": "VOC2012", "min_area": pixels}
        config, found = upgrade(stored)
        check(config)
        assert (config.data.min_area, config.data.train_list) == (rule, "oslsm")
        assert found == {"data_version": "1.0.0-abc"}


def test_a_field_that_an_early_run_lacks_has_its_default(version_1):
    del version_1["eval"]["scales"], version_1["train"]["b2"], version_1["data"]["version"]
    config, found = upgrade(version_1)
    check(config)
    assert (config.eval.scales, config.train.b2, found) == ((1.0,), 0.999, {"steps": 1500})


def test_what_is_stored_is_opened_again():
    config = changed({"data.folds": (("cat",), ("dog", "cow")), "model.backbone_options.widths": (8, 8)})
    told = {"data_version": "1", "steps": 7, "base_classes": ["dog", "cow"], "novel_classes": ["cat"]}
    stored = json.loads(json.dumps(store(config, told)))
    assert stored["version"] == VERSION
    opened, found = upgrade(stored)
    assert opened.to_dict() == config.to_dict()
    assert found == told


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda stored: stored.update(version=VERSION + 1), "install a newer fsjax"),
        (lambda stored: stored.update(version="2"), "install a newer fsjax"),
        (lambda stored: stored.pop("found"), "lacks the configuration or what the run found"),
        (lambda stored: stored.update(config=3), "lacks the configuration"),
        (lambda stored: stored["config"].update(stage=3), "has the field stage, which is unknown here"),
        (lambda stored: stored["config"]["train"].update(steps="many"), "its field train.steps is 'many'"),
        (lambda stored: stored["config"].update(train=3), "the field train, which is unknown here"),
        (dict.clear, "it has no model or no training"),
    ],
)
def test_what_is_no_configuration_is_refused(harm, sentence):
    stored = store(default(), {"steps": 3})
    harm(stored)
    with pytest.raises(InputError) as refusal:
        upgrade(stored)
    assert sentence in str(refusal.value)


def test_a_run_of_version_1_goes_on_with_todays_configuration(version_1):
    stored, _ = upgrade(version_1)
    config = cli.load_config(ROOT / "configs" / "prnet_shapes.py")
    check_resumable(stored, config, "runs/a")
    config.train.b2 = 0.999
    with pytest.raises(InputError, match=r"began with train.b2=0.99, not 0.999"):
        check_resumable(stored, config, "runs/a")
