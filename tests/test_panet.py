"""PANet, VGG-16 and its losses, goes through everything: trained, adapted, evaluated, lent to DPNet."""

import jax
import numpy as np
import pytest

from fsjax import Segmenter, compiled, experiment
from fsjax.models import build
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.training.curves import read_metrics
from fsjax.training.runs import Run
from tests.config.changed import changed
from tests.models.tiny import random_episode, supports_of
from tests.runs import DPNET, PRNET, toy_sources

pytestmark = pytest.mark.slow

VGG = {"model.backbone": "vgg16", "model.backbone_options.width": 2}
ROWS = {"eval.rows": ("fusion0", "adapted"), "eval.adapt.steps": 2}


def config_of(values, base=PRNET):
    """A configuration of a run, with this backbone in place of its own."""
    kept = {name: value for name, value in base.items() if not name.startswith("model.backbone")}
    return changed({**kept, **VGG, **values})


PANET = config_of({"model.support_loss": "panet", "train.support_void": "background", **ROWS})


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return toy_sources(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, sources):
    return experiment.train(PANET, sources, tmp_path_factory.mktemp("panet"))


def params_of(run):
    params = run.variables(build.method(PANET.model))["backbone"]["params"]
    return {(layer, leaf): value for layer, both in params.items() for leaf, value in both.items()}


def test_it_is_drawn_as_he_and_others_say_and_all_of_it_learns(run):
    lines = read_metrics(run.folder)
    assert np.isfinite([[line["query_loss"], line["support_loss"]] for line in lines]).all()
    assert all(line["support_loss"] > 0 for line in lines)
    drawn = build.method(PANET.model).init(jax.random.key(0))["backbone"]["params"]
    found = params_of(run)
    assert len(found) == 26
    for (layer, leaf), value in found.items():
        assert (value != drawn[layer][leaf]).any(), (layer, leaf)
    kernels = [layer["kernel"] / np.sqrt(2 / (9 * layer["kernel"].shape[2])) for layer in drawn.values()]
    np.testing.assert_allclose(np.std(np.concatenate([k.ravel() for k in kernels])), 1, rtol=0.05)
    assert not any(layer["bias"].any() for layer in drawn.values())


def test_it_is_evaluated_and_segments_photos(run, sources, tmp_path):
    results = experiment.evaluate(PANET, sources, tmp_path, run=run)
    assert {row.name: len(row.records) for row in results.scored} == {"fusion0": 6, "fusion2_adapt2": 2}
    source = sources["test"]
    fitted = Segmenter.load(run.folder).fit([source.image(0)], [source.labels(0) == 1])
    found = fitted.segment(source.image(6)).mask
    assert found.shape == source.size(6)


@pytest.mark.parametrize(("parameters", "tuned"), [("all", set("12345")), ("last_stage", {"5"})])
def test_its_blocks_are_adapted(run, parameters, tuned):
    method = build.method(PANET.model)
    variables = run.variables(method)
    episode = random_episode(1, ways=1, shots=2, side=32)
    settings = AdaptSettings(steps=2, learning_rate=0.05, parameters=parameters)
    after = compiled.adapt(method, settings)(variables, *supports_of(episode))
    before, after = (tree["backbone"]["params"] for tree in (variables, after))
    moved = {
        name[4]
        for name, layer in before.items()
        for leaf in layer
        if (np.asarray(layer[leaf]) != after[name][leaf]).any()
    }
    assert moved == tuned


def test_dpnet_takes_its_backbone(run, sources, tmp_path):
    config = config_of({"model.weights": str(run.folder)}, DPNET)
    dpnet = experiment.train(config, sources, tmp_path)
    assert np.isfinite([line["loss"] for line in read_metrics(tmp_path)]).all()
    lent = dpnet.variables(build.method(config.model))["backbone"]["params"]
    for (layer, leaf), value in params_of(run).items():
        np.testing.assert_array_equal(lent[layer][leaf], value)
    results = experiment.evaluate(config, sources, tmp_path, run=Run.open(tmp_path))
    assert [row.name for row in results.scored] == ["aux", "master"]
