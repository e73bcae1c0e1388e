"""The ablation: every variant from the same start, one compilation, paired on the same episodes."""

import json
import logging

import pytest

import ablate
from fsjax import ablation
from fsjax.ablation import OFF, Variant
from fsjax.errors import InputError
from fsjax.evaluation.report import read_records
from fsjax.training.curves import read_metrics
from tests.training.test_frozen import dpnet_config, sources


@pytest.fixture(scope="module")
def config():
    config = dpnet_config(steps=2)
    config.eval.batch_size = 2
    return config


def test_variants_share_their_program_and_their_episodes(tmp_path, config, caplog):
    caplog.set_level(logging.INFO)
    variants = [OFF, Variant("global", {"pseudo_prototype": "global"}), Variant("ccm again"), Variant("ccm")]
    rows = ablation.run(config, sources(tmp_path), tmp_path / "out", variants)
    assert [row["name"] for row in rows] == ["ccm=off", "global", "ccm again", "ccm, aux", "ccm"]
    assert sum("compiling the training step" in line for line in caplog.messages) == 1
    records = {name: [] for name in (row["name"] for row in rows)}
    for record in read_records(tmp_path / "out" / "episodes.jsonl"):
        records[record["row"]].append((record["index"], record["confusion"]))
    assert records["ccm"] == records["ccm again"]  # nothing is left over from the variant before
    assert records["ccm"] != records["ccm=off"] != records["global"]
    assert [[index for index, _ in of_row] for of_row in records.values()] == [list(range(6))] * 5
    against = {other["row"]: other for other in rows[-1]["against"]}
    assert set(against) == {"ccm=off", "global", "ccm again", "ccm, aux"}
    assert against["ccm again"]["difference"] == 0
    for name, other in against.items():
        scores = {row["name"]: row["mean_iou"] for row in rows}
        assert other["difference"] == pytest.approx(scores["ccm"] - scores[name])
    assert json.loads((tmp_path / "out" / "results.json").read_text())["step"] == 2
    losses = {v.name: [line["loss"] for line in read_metrics(tmp_path / "out" / v.name)] for v in variants}
    assert losses["ccm"] == losses["ccm again"] != losses["global"]
    assert len(losses["ccm"]) == 2


def test_the_tables_are_the_papers():
    names = {table: [variant.name for variant in variants] for table, variants in ablation.TABLES.items()}
    assert names == {
        "ccm": ["ccm=off", "ccm"],
        "all": ["baseline", "+pim", "ccm=off", "global", "cosine", "ccm"],
    }


def test_another_method_is_refused(tmp_path, config):
    other = config.copy_and_resolve_references()
    other.model.name = "prnet"
    other.eval.rows = ("fusion0",)
    with pytest.raises(InputError, match="The ablations are DPNet's"):
        ablation.run(other, sources(tmp_path), tmp_path / "out", [OFF])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "fold", "weights"),
    [
        ([], 0, "runs/prnet_shapes_fold0"),
        (["--config.fold=2"], 2, "runs/prnet_shapes_fold2"),
        (["--config.fold=2", "--config.model.weights=mine"], None, "mine"),
    ],
)
def test_the_extractor_is_the_folds_prnet_or_what_was_named(monkeypatch, arguments, fold, weights):
    trained, used = [], []
    monkeypatch.setattr(
        ablate.experiment, "train", lambda config, sources, workdir: trained.append((config.fold, workdir))
    )
    monkeypatch.setattr(ablate.ablation, "run", lambda config, *rest: used.append(config.model.weights) or [])
    monkeypatch.setattr(ablate.datasets, "load", lambda data: {})
    monkeypatch.setattr(ablate.ablation, "check", lambda config, sources: None)
    assert ablate.main(["ablate.py", *arguments]) == 0
    assert used == [weights]
    assert trained == ([] if fold is None else [(fold, weights)])


def test_cached_features_are_refused(tmp_path, config):
    other = config.copy_and_resolve_references()
    other.train.cached_features = True
    with pytest.raises(InputError, match="The ablations read photos"):
        ablation.run(other, sources(tmp_path), tmp_path / "out", [OFF])


def test_an_unknown_table_is_refused(capsys):
    assert ablate.main(["ablate.py", "--table=5"]) == 2
    assert "There is no table '5': choose from ccm, all." in capsys.readouterr().err
