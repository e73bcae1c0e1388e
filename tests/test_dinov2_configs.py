"""The configurations of DINOv2, with drawn weights and a block or two of the network, on tiny photos."""

import re

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from fsjax import cli, experiment
from fsjax.data.images import InputSettings
from fsjax.models import build
from fsjax.models.backbones.named import NAMED
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.segmenter import Segmenter
from fsjax.training.curves import read_metrics
from tests.runs import toy_sources
from tests.same import assert_same_bits
from tests.test_configs import FILES

CONFIGS = [path for path in FILES if "_dinov2_" in path.stem]
SIDE = 42  # three patches


def of(stem):
    (path,) = [path for path in CONFIGS if path.stem == stem]
    return cli.load_config(path)


def tiny(config, folder):
    """The configuration with what takes long or needs weights made small."""
    config.model.weights = "random"
    config.model.backbone_options.deep = 1
    config.data.feature_dir = str(folder / "features")
    config.data.min_area = config.eval.min_area = "none"
    config.train.size = config.eval.size = SIDE
    config.eval.runs, config.eval.episodes, config.eval.adapt_episodes = 1, 4, 1
    config.eval.pictures, config.eval.batch_size = 0, 1
    head = config.model.dpnet
    head.width, head.dis_hidden, head.pim_hidden, head.rates = 6, 5, 4, (1,)
    if config.model.name == "dpnet":
        config.batch_size, config.train.policy = 2, "class_uniform"
        config.train.epochs, config.train.steps, config.train.warmup = 0, 3, 0
        config.train.log_every = config.train.checkpoint_every = 1
    return config


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_sizes_are_whole_patches_and_weights_are_the_backbone_s(path):
    config = cli.load_config(path)
    backbone = build.method(config.model).backbone
    assert backbone.side(config.eval.size) == backbone.side(config.train.size) == config.eval.size == 518
    assert backbone.cells(518) == 37
    assert NAMED[config.model.weights].backbone == config.model.backbone
    assert NAMED[config.model.weights].licence in re.sub(r"\s+", " ", path.read_text())
    assert "its accuracy was not run" in re.sub(r"\s+", " ", path.read_text())


def test_there_is_one_of_each_method_and_data_set():
    assert {path.stem for path in CONFIGS} == {
        f"{method}_dinov2_{data}" for method in ("prnet", "dpnet") for data in ("coco", "pascal", "folders")
    }


SLOW = [pytest.param(data, marks=pytest.mark.slow) for data in ("coco", "pascal")]


@pytest.mark.parametrize("data", ["folders", *SLOW])
def test_dpnet_s_head_is_trained_from_cached_features(data, tmp_path):
    config, sources = tiny(of(f"dpnet_dinov2_{data}"), tmp_path), toy_sources(tmp_path)
    run = experiment.train(config, sources, tmp_path / "run")
    assert len(read_metrics(tmp_path / "run")) == 3
    assert any(file.is_file() for file in (tmp_path / "features").rglob("*"))
    method = build.method(config.model)
    drawn, trained = method.init(jax.random.key(config.seed)), run.variables(method)
    assert_same_bits(drawn["backbone"], trained["backbone"])
    assert (drawn["head"]["merge"]["kernel"] != trained["head"]["merge"]["kernel"]).any()
    results = experiment.evaluate(config, sources, tmp_path / "out", run=run)
    assert [row["name"] for row in results.rows] == ["frozen_fusion0", "aux", "master"]


@pytest.mark.parametrize("data", ["coco", "pascal", "folders"])
def test_prnet_is_evaluated_without_training(data, tmp_path):
    config = tiny(of(f"prnet_dinov2_{data}"), tmp_path)
    config.eval.rows = (*config.eval.rows, "adapted") if data == "folders" else config.eval.rows
    results = experiment.evaluate(config, toy_sources(tmp_path), tmp_path / "out")
    named = [row["name"] for row in results.rows]
    own = [f"fusion{stage}{gram}" for stage in range(3) for gram in ("", " gram=true")]
    assert named[:7] == ["fssdino", *own]
    assert ("fusion2_adapt5" in named) == (data == "folders")


NORMS = r"(block\d+/(norm[12]/(scale|bias)|scale[12])|norm/(scale|bias))"


@pytest.mark.parametrize(
    ("parameters", "changed", "kept"),
    [
        ("norm_affine", NORMS, None),
        ("last_stage", r"(block1|norm)/.*", r"block0/.*|patch/.*|position|cls_token"),
    ],
)
def test_adaptation_changes_these_parameters_and_no_others(parameters, changed, kept):
    config = of("prnet_dinov2_folders")
    config.model.backbone_options.update(deep=2, shallow=1, stage_blocks=1)
    method = build.method(config.model)
    variables = method.init(jax.random.key(0))
    segmenter = Segmenter(method, variables, FusionSettings(), InputSettings(SIDE))
    rng = np.random.default_rng(0)
    photo, mask = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE), bool)
    mask[:20, :30] = True
    adapt = AdaptSettings(steps=2, learning_rate=0.01, parameters=parameters)
    tuned = segmenter.fit(photo, mask, adapt=adapt).segmenter.variables
    before, after = (flatten_dict(part["backbone"]["params"], sep="/") for part in (variables, tuned))
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved
    assert [name for name in moved if not re.fullmatch(changed, name)] == []
    expected = {name for name in before if re.fullmatch(changed, name)}
    # A key's bias moves all of a query's similarities alike, and so nothing.
    assert {name for name in expected - moved if not name.endswith("key/bias")} == set()
    assert not kept or not [name for name in moved if re.fullmatch(kept, name)]
    for name in variables["backbone"].keys() - {"params"}:
        jax.tree.map(np.testing.assert_array_equal, variables["backbone"][name], tuned["backbone"][name])
