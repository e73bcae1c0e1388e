"""A frozen extractor stays as it is bit for bit, is kept once, and may run once an image."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from configs import common
from fsjax import experiment
from fsjax.data.feature_cache import FeatureCache
from fsjax.data.images import InputSettings
from fsjax.devices import replicate
from fsjax.errors import InputError
from fsjax.evaluation.report import read_records
from fsjax.models.method import build
from fsjax.training import frozen
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.curves import read_metrics
from fsjax.training.frozen_features import FrozenFeatures
from fsjax.training.optimizer import learning_rate
from fsjax.training.step import make_state, make_train_step, split
from fsjax.training.weights import initial_variables, trained_variables
from tests.models.tiny import random_episode
from tests.toy import ToySource
from tests.training.interruption import interrupted_before

EXTRACTOR = {"stage_sizes": (1, 1, 1), "widths": (4, 4, 8)}
OPTIMIZER = optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.01, 0.9))


def dpnet_config(**train):
    """Four steps of two episodes of a tiny DPNet."""
    config = common.get_config()
    config.batch_size = 2
    config.model.name, config.model.backbone = "dpnet", "small"
    config.model.backbone_options = ConfigDict(EXTRACTOR)
    config.model.weights = "random"
    config.model.dpnet.update(
        {"width": 6, "dis_hidden": 5, "pim_hidden": 4, "rates": (1, 2), "alpha_init": 0.5}
    )
    config.train.update(
        {"size": 33, "steps": 4, "schedule": "constant", "learning_rate": 0.01, "log_every": 1,
         "checkpoint_every": 2, **train}
    )  # fmt: skip
    config.eval.update(
        {"size": 33, "runs": 1, "episodes": 6, "batch_size": 1, "pictures": 0, "rows": ("aux", "master")}
    )
    return config


CONFIG = dpnet_config()
METHOD = build(CONFIG.model)


def sources(folder):
    return {"train": ToySource(folder), "test": ToySource(folder)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def variables():
    return jax.tree.map(np.asarray, initial_variables(CONFIG, METHOD))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, folder):
    workdir = tmp_path_factory.mktemp("whole")
    experiment.train(dpnet_config(), sources(folder), workdir)
    return workdir


def assert_equal(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def batch(devices, per_device, weights=None):
    episodes = [random_episode(seed, ways=1, side=33) for seed in range(4)]
    slots = (episodes * 8)[: devices * per_device]
    stacked = jax.tree.map(lambda *fields: np.stack(fields), *slots)
    if weights is not None:
        stacked = stacked._replace(weight=np.float32(weights))
    return jax.tree.map(lambda x: x.reshape(devices, per_device, *x.shape[1:]), stacked)


def test_a_step_changes_the_head_alone_whatever_the_devices(variables):
    learned, fixed = split(METHOD, variables)
    assert (set(learned), set(fixed)) == ({"head"}, {"backbone"})
    step = make_train_step(METHOD, OPTIMIZER, seed=3)
    results = []
    for devices, weights in ((1, None), (8, [1] * 4 + [0] * 4)):
        state = replicate(make_state(learned, OPTIMIZER), devices)
        assert not any("backbone" in str(path) for path, _ in jax.tree_util.tree_leaves_with_path(state))
        stacked = replicate(fixed, devices)
        state, metrics = step(state, stacked, batch(devices, max(4 // devices, 1), weights))
        assert_equal(jax.tree.map(lambda x: np.asarray(x[0]), stacked), fixed)  # neither changed nor donated
        results.append(jax.tree.map(lambda x: np.asarray(x[0]), (state.variables, metrics)))
    moved = jax.tree.map(lambda new, old: bool((new != old).any()), results[0][0]["head"], learned["head"])
    assert all(jax.tree.leaves(moved))
    for other in results[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), results[0], other)


def test_a_run_keeps_its_extractor_once_and_unchanged(whole, variables):
    restored, step = trained_variables(CONFIG, METHOD, whole)
    assert step == 4
    assert_equal(restored["backbone"], variables["backbone"])
    with Checkpoints(whole) as checkpoints:
        assert checkpoints.config().model.backbone_sha256 == frozen.digest(variables["backbone"])
    bytes_of = sum(leaf.nbytes for leaf in jax.tree.leaves(variables["backbone"]))
    assert bytes_of < (whole / frozen.NAME).stat().st_size < bytes_of + 8192


def test_the_hash_is_of_names_shapes_and_values():
    tree = {"a": {"b": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    others = [
        {"a": {"c": tree["a"]["b"]}},
        {"a": {"b": tree["a"]["b"].reshape(3, 2)}},
        {"a": {"b": tree["a"]["b"] + np.float32(1e-6)}},
        {"a": {"b": tree["a"]["b"].astype(np.float64)}},
    ]
    assert len({frozen.digest(t) for t in (tree, *others)}) == 5
    assert frozen.digest({"a": {"b": tree["a"]["b"].copy()}}) == frozen.digest(tree)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path, other: path.unlink(), "missing or damaged"),
        (lambda path, other: path.write_bytes(path.read_bytes()[:-9]), "missing or damaged"),
        (
            lambda path, other: frozen.keep(path.parent, other),
            "not the extractor that this run was trained on",
        ),
    ],
)
def test_a_wrong_extractor_is_refused(tmp_path, variables, damage, said):
    sha256 = frozen.keep(tmp_path, variables["backbone"])
    assert_equal(frozen.restore(tmp_path, variables["backbone"], sha256), variables["backbone"])
    other = jax.tree.map(lambda x: x + 1, variables["backbone"])
    damage(tmp_path / frozen.NAME, other)
    with pytest.raises(InputError, match=said):
        frozen.restore(tmp_path, variables["backbone"], sha256)


def test_two_steps_and_two_more_are_four(tmp_path, folder, whole, monkeypatch):
    with interrupted_before(4, monkeypatch):
        experiment.train(dpnet_config(), sources(folder), tmp_path)
    experiment.train(dpnet_config(), sources(folder), tmp_path)
    assert read_metrics(tmp_path) == read_metrics(whole)
    assert_equal(*(trained_variables(CONFIG, METHOD, place)[0] for place in (tmp_path, whole)))


def test_another_run_lends_its_extractor(tmp_path, folder, whole, variables):
    config = dpnet_config()
    config.seed = 9
    config.model.weights = str(whole)
    borrowed = initial_variables(config, METHOD)
    assert_equal(borrowed["backbone"], variables["backbone"])
    assert (borrowed["head"]["merge"]["kernel"] != variables["head"]["merge"]["kernel"]).any()
    config.fold = 1
    with pytest.raises(InputError, match=r"fold=0, not 1"):
        initial_variables(config, METHOD)
    config.model.weights = str(tmp_path)
    with pytest.raises(InputError, match="There is no checkpoint"):
        initial_variables(config, METHOD)


# ---- features that are computed once ----


def make_features(folder, cache, method=METHOD, variables=None, size=33, input="square"):
    settings = InputSettings(size=size, input=input)
    return FrozenFeatures(cache, ToySource(folder), method, variables, CONFIG.model, settings)


@pytest.mark.parametrize("input", ["square", "longside"])
def test_cached_features_are_those_of_the_extractor(tmp_path, folder, variables, input):
    features = make_features(folder, tmp_path, variables=variables, input=input)
    features.fill([5, 8], mirrored=False)
    features.fill([3], mirrored=True)
    given = jax.tree.map(jnp.asarray, variables)
    for position, flipped in ((3, False), (5, False), (8, False), (3, True)):
        image, size = features._photo(position, flipped)
        expected, _ = METHOD.embed(given, jnp.asarray(image[None]), jnp.asarray(size[None]))
        stored = features.cache.read(position, flipped)
        np.testing.assert_allclose(stored, np.asarray(expected.map[0]), rtol=1e-3, atol=1e-3)
        passed, _ = METHOD.embed(given, jnp.asarray(stored[None]), jnp.asarray(size[None]))
        np.testing.assert_array_equal(passed.sizes, expected.sizes)
        np.testing.assert_array_equal(passed.map[0], stored.astype(np.float32))
    assert (features.cache.read(3, True) != features.cache.read(3, False)).any()


def test_what_is_there_is_not_computed_again(tmp_path, folder, variables, monkeypatch):
    make_features(folder, tmp_path, variables=variables).fill([1, 2], mirrored=False)
    written = []
    write = FeatureCache.write
    monkeypatch.setattr(
        FeatureCache, "write", lambda self, where, *rest: (written.extend(where), write(self, where, *rest))
    )
    make_features(folder, tmp_path, variables=variables).fill([1, 2, 4], mirrored=False)
    assert written == [4]
    other = {**variables, "backbone": jax.tree.map(lambda x: 2 * x, variables["backbone"])}
    make_features(folder, tmp_path, variables=other).fill([1], mirrored=False)
    assert written == [4, 1]


def test_a_trained_extractor_is_not_cached(tmp_path, folder, variables):
    with pytest.raises(InputError, match="cache no features"):
        make_features(folder, tmp_path, method=as_trained(METHOD), variables=variables)


def as_trained(method):
    """The method as if its extractor were trained."""

    class Trained(type(method)):
        frozen = False

    return Trained(method.extractor, method.head, method.switches)


def test_training_and_evaluation_from_cached_features(tmp_path, folder, whole):
    config = dpnet_config(cached_features=True)
    config.data.feature_dir = str(tmp_path / "features")
    experiment.train(config, sources(folder), tmp_path / "run")
    cached, photos = (read_metrics(place) for place in (tmp_path / "run", whole))
    np.testing.assert_allclose(
        [line["loss"] for line in cached], [line["loss"] for line in photos], rtol=0.02
    )  # features are kept in float16
    for part, config.eval.cached_features in (("cached", True), ("photos", False)):
        experiment.evaluate(config, sources(folder), tmp_path / part, workdir=whole)
    counted = [
        np.array([record["confusion"] for record in read_records(tmp_path / part / "episodes.jsonl")])
        for part in ("cached", "photos")
    ]
    moved = np.abs(counted[0] - counted[1]).sum() / 2  # pixels whose prediction float16 tipped over
    assert moved <= 0.005 * counted[1].sum()
    config.eval.scales = (0.7, 1.0, 1.3)
    experiment.evaluate(config, sources(folder), tmp_path / "scales", workdir=whole)
    assert "scales [0.7, 1.0, 1.3]" in (tmp_path / "scales" / "results.md").read_text()
    assert "no crops or rotations" in (tmp_path / "cached" / "results.md").read_text()


@pytest.mark.parametrize(
    ("part", "field", "value", "said"),
    [
        ("train", "crop", 1.5, "set train.crop=1 and train.rotate=0"),
        ("train", "epochs", 2, "set train.policy=pair_epoch"),
        ("train", "policy", "alphabetical", "choose from class_uniform, pair_epoch"),
        ("eval", "scales", (0.7, 1.0), "Features are cached at one scale"),
        ("eval", "scales", (0.7,), "choose 1.0 and, if any"),
        ("eval", "scale_average", "sum", "'probability' or 'logit'"),
        ("eval", "beta", 2.0, "eval.beta is 2.0"),
        ("eval", "rows", ("adapted",), "eval.rows holds 'adapted'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, folder, part, field, value, said):
    config = dpnet_config(cached_features=True)
    config.eval.cached_features = True
    config[part][field] = value

    def program():
        experiment.check_evaluation(config, sources(folder))
        experiment.train(config, sources(folder), tmp_path / "run")

    with pytest.raises(InputError, match=said):
        program()
    assert not (tmp_path / "run").exists()


def test_a_frozen_extractor_needs_weights(tmp_path, folder):
    config = dpnet_config()
    config.model.weights = ""
    with pytest.raises(InputError, match="to a file or a run's folder, or to random"):
        experiment.train(config, sources(folder), tmp_path / "run")
    assert not any(tmp_path.glob("run/*"))


def test_an_extractor_is_not_taken_from_an_unfinished_run(tmp_path, folder):
    prnet = dpnet_config()
    prnet.model.name, prnet.model.batch_statistics = "prnet", True
    prnet.eval.rows = ("fusion0",)
    experiment.train(prnet, sources(folder), tmp_path / "prnet")
    shutil.rmtree(tmp_path / "prnet" / "checkpoints" / "4")
    config = dpnet_config()
    config.model.weights = str(tmp_path / "prnet")
    with pytest.raises(InputError, match="stopped at step 2 of 4: run its training to the end"):
        initial_variables(config, METHOD)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tile": 0}, "model.dpnet.tile is 0: choose 1 or more"),
        ({"rates": ()}, "give dilations of 1 or more"),
        ({"beta": 7.0}, "model.dpnet.beta is 7.0"),
        ({"lambda2": -1.0}, "choose 0 or more"),
        ({"dropout": 1.0}, "choose 0 or more and less than 1"),
        ({"pseudo_prototype": "mean"}, "choose from"),
    ],
)
def test_switches_out_of_range_are_refused(changes, said):
    config = dpnet_config()
    config.model.dpnet.update(changes)
    with pytest.raises(InputError, match=said):
        build(config.model)


def test_an_extractor_of_other_widths_is_refused():
    config = dpnet_config()
    config.model.backbone_options.widths = (4, 8, 8)
    with pytest.raises(InputError, match="8 channels in stage 2 and 8 in stage 3"):
        build(config.model).init_head(jax.random.key(0))


def test_epochs_walk_through_all_pairs(tmp_path, folder):
    config = dpnet_config(policy="pair_epoch", epochs=1, checkpoint_every=100)
    config.data.min_area = 60
    experiment.train(config, sources(folder), tmp_path)
    with Checkpoints(tmp_path) as checkpoints:
        stored = checkpoints.config()
    source = ToySource(folder)
    pairs = sum(int(source.areas(p)[c - 1] >= 60) for p in range(40) for c in (3, 4, 5, 6))
    assert stored.train.steps == pairs / config.batch_size
    assert len(read_metrics(tmp_path)) == pairs / config.batch_size
    config.lr_scaling, config.train.reference_batch_size = "linear", 1
    sampler = experiment.make_sampler(config, source, (3, 4, 5, 6), config.train, seed=0)
    config.train.steps = experiment.steps_of(config, sampler)
    assert config.train.steps == pairs  # counted in batches of one; two at a time need half as many
    assert learning_rate(config.train, config.batch_size, config.lr_scaling)[1] == pairs / 2
