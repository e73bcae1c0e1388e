"""Runs that several tests look at; they leave them as they are."""

import pytest

from fsjax import experiment
from fsjax.experiment import evaluation_rehearsal, rehearsal
from fsjax.experiment.costs import Costs
from tests.runs import held_out_source, prnet_config, toy_sources
from tests.small_pictures import small_pictures  # noqa: F401


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """Where the data set keeps its class index."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="package")
def sources(folder):
    """The photos, trained on in both splits."""
    return toy_sources(folder)


@pytest.fixture(scope="package")
def apart(folder):
    """Photos that are trained on in one list, and others in the list that is tested on."""
    return {"train": toy_sources(folder)["train"], "test": held_out_source(folder)}


@pytest.fixture(scope="package")
def whole(tmp_path_factory, sources):
    """The folder of a PRNet's run that nobody disturbed."""
    workdir = tmp_path_factory.mktemp("whole")
    experiment.train(prnet_config(), sources, workdir)
    return workdir


@pytest.fixture
def step_is_not_compiled(monkeypatch):
    """Dry runs take some costs as they are; returns the arguments that they asked for the costs of."""
    asked = []

    def costs(function, *args, static=()):
        asked.append(args)
        return Costs(flops=2.5e9, arguments=3_000_000, outputs=4_000, temporaries=5_000_000)

    monkeypatch.setattr(rehearsal, "costs", costs)
    monkeypatch.setattr(evaluation_rehearsal, "costs", costs)
    return asked
