"""Runs that several tests look at; they leave them as they are."""

import pytest

from fsjax import experiment
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
