"""Which photos an evaluation's episodes show by its own rule, and what departs from a preset says so."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fsjax import experiment
from fsjax.config import follow
from fsjax.data import manifest
from fsjax.experiment.departures import departures
from fsjax.experiment.selection import Selection
from fsjax.experiment.settings import plan_of
from fsjax.models import build
from tests.runs import prnet_config

LARGE = 60
"""Pixels; some of the toy photos' objects have fewer."""

SMALL = {"eval.rows": ("rgb",), "eval.episodes": 3, "eval.runs": 1, "eval.size": 32, "eval.min_area": ""}


def shown(sampler, source):
    """The fewest pixels that an object has in the episodes of a sampler."""
    return min(
        source.areas(position)[spec.class_ids[0] - 1]
        for spec in map(sampler, range(150))
        for position in (*spec.support[0], *spec.query)
    )


@pytest.mark.parametrize(
    ("of_data", "own", "trained", "evaluated"),
    [("none", "", 1, 1), (str(LARGE), "", LARGE, LARGE), ("none", str(LARGE), 1, LARGE),
     (str(LARGE), "none", LARGE, 1)],
)  # fmt: skip
def test_training_and_evaluation_have_rules_of_their_own(of_data, own, trained, evaluated, apart):
    values = {"data.min_area": of_data, "eval.min_area": own, "train.ways": 1, "train.select": "base_val"}
    config = prnet_config(values)
    assert plan_of(config, apart["train"]).sampler.min_area == trained
    header, _, sampler = experiment.novel_episodes(config, apart["test"], "", count=0)
    selection = Selection.configured(config, apart, build.method(config.model), 5)
    assert header.eligibility == f"at least {evaluated} pixels of the class in the original mask"
    for one in (sampler, selection.sampler):
        assert one.min_area == evaluated
        assert (shown(one, apart["test"]) >= LARGE) == (evaluated == LARGE)


def test_a_manifests_rule_holds_for_all_that_is_drawn_beside_its_episodes(apart, tmp_path):
    config, path = prnet_config({"eval.min_area": str(LARGE)}), tmp_path / "episodes.jsonl"
    header, specs, _ = experiment.novel_episodes(config, apart["test"], "")
    manifest.write(path, header, specs, apart["test"].ids)
    _, read, sampler = experiment.novel_episodes(prnet_config(), apart["test"], path)
    assert (read, sampler.min_area) == (specs, LARGE)
    manifest.write(path, replace(header, eligibility="all we like"), specs, apart["test"].ids)
    _, _, sampler = experiment.novel_episodes(prnet_config(), apart["test"], path)
    assert sampler.min_area == 1


@pytest.mark.parametrize(
    ("eligibility", "preset", "here"),
    [
        ("at least 1 pixels of the class in the original mask", "panet", None),
        ("at least 1 pixels of the class in the original mask", "pfenet", ("pfenet", "none")),
        ("at least 2048 pixels of the class in the original mask", "pfenet", None),
        ("at least 2048 pixels of the class in the original mask", "hsnet", ("oslsm", "pfenet")),
        ("at least 200 pixels of the class in the original mask", "hsnet", ("oslsm", "200")),
        ("OSLSM's rule for the pixels of the class in the original mask", "hsnet", None),
        ("OSLSM's rule for the pixels of the class in the original mask", "panet", ("none", "oslsm")),
        ("what we like", "panet", ("none", "what we like")),
        ("at least 1 pixels of the class in the original mask, no pixel of ant", "panet",
         ("none", "at least 1 pixels of the class in the original mask, no pixel of ant")),
    ],
)  # fmt: skip
def test_the_rule_of_a_manifest_is_compared_with_the_presets(eligibility, preset, here, sources):
    config = prnet_config({"eval.protocol": preset})  # whose own rule is not the episodes'
    header, _, _ = experiment.novel_episodes(prnet_config(), sources["test"], "", count=0)
    found = departures(config, replace(header, eligibility=eligibility), 1000)
    assert found.get("eval.min_area") == here


def followed(preset, values=None):
    """The configuration of an evaluation that follows a preset in all but these fields."""
    config = follow(prnet_config(), preset)
    for name, value in {**SMALL, **(values or {})}.items():
        section, field = name.split(".")
        config[section][field] = value
    return config


def test_results_list_a_manifest_of_another_rule(sources, tmp_path):
    drawn = prnet_config({"eval.min_area": str(LARGE), "eval.episodes": 3, "eval.policy": "image_walk"})
    header, specs, _ = experiment.novel_episodes(drawn, sources["test"], "")
    path = tmp_path / "episodes.jsonl"
    manifest.write(path, header, specs, sources["test"].ids)
    config = followed("panet", {"eval.min_area": "none"})
    experiment.evaluate(config, sources, tmp_path / "out", episodes=path)
    assert json.loads((tmp_path / "out" / "results.json").read_text())["departures"] == {
        "eval.size": {"preset": 417, "here": 32},
        "eval.policy": {"preset": "class_uniform", "here": "image_walk"},
        "eval.runs": {"preset": 5, "here": 1},
        "eval.episodes": {"preset": 1000, "here": 3},
        "eval.min_area": {"preset": "none", "here": str(LARGE)},
    }


@pytest.mark.parametrize(
    ("preset", "values", "expected"),
    [
        ("", {}, {}),
        ("hsnet", {}, {"eval.size": (400, 32)}),
        ("hsnet", {"eval.void": "background", "eval.support_void": "ignore"},
         {"eval.size": (400, 32), "eval.void": ("ignore", "background")}),
        ("canet", {}, {}),  # at original sizes nobody knows what was put in
        ("canet", {"eval.counting": "panet_compat"}, {"eval.counting": ("strict", "panet_compat")}),
        ("canet", {"eval.label": "input"}, {"eval.label": ("original", "input"), "eval.size": (321, 32)}),
    ],
)  # fmt: skip
def test_predictions_of_others_depart_in_what_decides_their_score(
    preset, values, expected, sources, tmp_path
):
    header, specs, _ = experiment.novel_episodes(prnet_config({"eval.episodes": 3}), sources["test"], "")
    path, masks = tmp_path / "episodes.jsonl", tmp_path / "masks"
    manifest.write(path, header, specs, sources["test"].ids)
    masks.mkdir()
    config = followed(preset, values)
    for spec in specs:
        truth = sources["test"].labels(spec.query[0])
        shape = (32, 32) if config.eval.label == "input" else truth.shape
        Image.fromarray(np.zeros(shape, np.uint8)).save(masks / f"{spec.index:06d}.png")
    experiment.score_predictions(config, sources["test"], masks, path, tmp_path / "out")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    episodes = {} if not preset else {"eval.episodes": (1000, 3), "eval.min_area": ("oslsm", "none")}
    assert results["preset"] == preset
    assert results["departures"] == {
        name: {"preset": theirs, "here": here} for name, (theirs, here) in {**expected, **episodes}.items()
    }
    if preset:
        assert f"- Protocol preset: {preset}, but " in (tmp_path / "out" / "results.md").read_text()
