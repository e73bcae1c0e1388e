"""ablate.py as its users start it: where its backbone comes from."""

import pytest

import ablate
from tests.commands.programs import start


@pytest.mark.parametrize(
    ("arguments", "fold", "weights"),
    [
        ([], 0, "runs/prnet_shapes_fold0"),
        (["--config.fold=2"], 2, "runs/prnet_shapes_fold2"),
        (["--config.fold=2", "--config.model.weights=mine"], None, "mine"),
        ([f"--config={ablate.CONFIGS}/dpnet_shapes.py:fold=3"], None, "runs/prnet_shapes_fold3"),
    ],
)
def test_the_backbone_is_the_folds_prnet_or_what_was_named(monkeypatch, arguments, fold, weights):
    trained, used = [], []
    experiment = ablate.experiment
    monkeypatch.setattr(ablate.datasets, "load", lambda data: {})
    monkeypatch.setattr(experiment, "check", lambda config, sources: None)
    monkeypatch.setattr(
        experiment, "train", lambda config, sources, workdir: trained.append((config.fold, workdir))
    )
    monkeypatch.setattr(
        experiment, "ablate", lambda config, *rest: used.append((config.model.weights, *rest[1:])) or []
    )
    assert start(ablate, *arguments) == 0
    assert used == [(weights, "runs/ablation_ccm")]
    assert trained == ([] if fold is None else [(fold, weights)])
