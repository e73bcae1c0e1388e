"""Runs that several tests look at; they leave them as they are."""

import pytest

from fsjax import experiment
from fsjax.evaluation.pictures import figures
from tests.runs import prnet_config, toy_sources


@pytest.fixture(scope="package", autouse=True)
def small_pictures():
    """That a run draws pictures is seen from small ones, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "DPI", 30)
        yield


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """Where the data set keeps its class index."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="package")
def sources(folder):
    """The photos, trained on in both splits."""
    return toy_sources(folder)


@pytest.fixture(scope="package")
def whole(tmp_path_factory, sources):
    """The folder of a PRNet's run that nobody disturbed."""
    workdir = tmp_path_factory.mktemp("whole")
    experiment.train(prnet_config(), sources, workdir)
    return workdir
