"""An ablation trains and evaluates as train.py does, goes on where it was killed, and pairs by episodes."""

import json

import pytest

from fsjax import experiment
from fsjax.errors import InputError
from fsjax.evaluation.results import read_records
from fsjax.experiment import ablation
from fsjax.experiment.ablation import FULL, OFF, VARIANTS
from fsjax.models import build
from fsjax.training.curves import read_metrics
from fsjax.training.runs import Run
from tests.runs import dpnet_config, prnet_config
from tests.same import assert_same_bits
from tests.training.interruption import interrupted_before


@pytest.fixture(scope="module")
def done(tmp_path_factory, sources):
    """An ablation that nobody disturbed."""
    out = tmp_path_factory.mktemp("ablation")
    experiment.ablate(dpnet_config(), sources, out)
    return out


def without_seconds(folder):
    """What the tables of an ablation say, but for what they took."""
    found = json.loads((folder / "results.json").read_text())
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in found["rows"]]
    return {**found, "rows": rows}, (folder / "episodes.jsonl").read_bytes()


@pytest.mark.slow
def test_the_last_variant_is_compared_with_each_other(done):
    found, _ = without_seconds(done)
    assert [row["name"] for row in found["rows"]] == ["ccm=off", "ccm, aux", "ccm"]
    against = {other["row"]: other["difference"] for other in found["rows"][-1]["against"]}
    scores = {row["name"]: row["mean_iou"] for row in found["rows"]}
    assert against == {name: pytest.approx(scores["ccm"] - scores[name]) for name in ("ccm=off", "ccm, aux")}
    episodes = {name: [] for name in scores}
    for record in read_records(done / "episodes.jsonl"):
        episodes[record["row"]].append((record["index"], record["query"], record["support"]))
    assert episodes["ccm"] == episodes["ccm=off"] == episodes["ccm, aux"]
    assert len(episodes["ccm"]) == 6
    losses = [[line["loss"] for line in read_metrics(done / variant.folder)] for variant in VARIANTS]
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_a_variant_is_the_run_that_train_makes(done, sources, tmp_path):
    config = dpnet_config({"model.dpnet.ccm": False})
    run = experiment.train(config, sources, tmp_path)
    results = experiment.evaluate(config, sources, tmp_path, run=run)
    there = done / OFF.folder
    assert (tmp_path / "metrics.jsonl").read_bytes() == (there / "metrics.jsonl").read_bytes()
    method = build.method(config.model)
    assert_same_bits(run.variables(method), Run.open(there).variables(method))
    assert Run.open(there).config.to_dict() == config.to_dict()
    assert (tmp_path / "episodes.jsonl").read_bytes() == (there / "episodes.jsonl").read_bytes()
    in_table = without_seconds(done)[0]["rows"][0]
    master = next(row for row in results.rows if row["name"] == "master")
    assert in_table["mean_iou"] == master["mean_iou"]
    assert in_table["per_class"] == master["per_class"]


@pytest.mark.slow
def test_an_ablation_that_is_killed_three_times_goes_on(done, sources, tmp_path, monkeypatch):
    def ablate():
        experiment.ablate(dpnet_config(), sources, tmp_path)

    def stop(*arguments, **more):
        raise KeyboardInterrupt

    with interrupted_before(3, monkeypatch):  # in the first training
        ablate()
    with monkeypatch.context() as patch:  # between the first training and its evaluation
        patch.setattr(ablation, "evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            ablate()
    assert Run.open(tmp_path / OFF.folder).step == 4
    with interrupted_before(4, monkeypatch):  # in the last training: the first one has no step left
        ablate()
    assert Run.open(tmp_path / FULL.folder).step == 2
    assert not any((tmp_path / name).exists() for name in ("results.json", "results.md", "episodes.jsonl"))
    ablate()
    assert without_seconds(tmp_path) == without_seconds(done)
    for variant in VARIANTS:
        assert read_metrics(tmp_path / variant.folder) == read_metrics(done / variant.folder)


def test_another_method_is_refused(tmp_path, sources):
    with pytest.raises(InputError, match="The ablation is DPNet's"):
        experiment.ablate(prnet_config({"eval.rows": ("fusion0",)}), sources, tmp_path / "out")
    assert not (tmp_path / "out").exists()
