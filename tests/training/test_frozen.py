"""A frozen backbone stays as it is bit for bit, and the file that keeps it is known by its hash."""

import os

import jax
import numpy as np
import pytest

from fsjax.devices import first_copy, replicate
from fsjax.errors import InputError
from fsjax.experiment.settings import plan_of
from fsjax.models import build
from fsjax.training import frozen
from fsjax.training.step import make_state, make_train_step, split
from tests.models.tiny import random_episode
from tests.runs import dpnet_config
from tests.same import assert_same_bits
from tests.toy import ToySource

METHOD = build.method(dpnet_config().model)


@pytest.fixture(scope="module")
def variables():
    shapes = jax.eval_shape(METHOD.init, jax.random.key(0))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: np.float32(rng.uniform(0.1, 0.5, x.shape)), shapes)


@pytest.mark.slow
def test_a_step_changes_the_head_alone(variables):
    plan = plan_of(dpnet_config(), ToySource())
    learned, fixed = split(METHOD, variables)
    assert (set(learned), set(fixed)) == ({"head"}, {"backbone"})
    state, stacked = replicate(make_state(learned, plan.optimizer)), replicate(fixed)
    assert not any("backbone" in str(path) for path, _ in jax.tree_util.tree_leaves_with_path(state))
    episodes = [random_episode(seed, ways=1, side=32) for seed in range(8)]
    batch = jax.tree.map(lambda *fields: np.stack(fields)[:, None], *episodes)
    state, _ = make_train_step(METHOD, plan.optimizer, plan.seed)(state, stacked, batch)
    assert_same_bits(jax.tree.map(lambda x: np.asarray(x[7]), stacked), fixed)  # not donated either
    head = first_copy(state.variables)["head"]
    moved = jax.tree.map(lambda new, old: bool((new != old).any()), head, learned["head"])
    assert all(jax.tree.leaves(moved))


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
        (lambda path, other: (path.unlink(), os.mkfifo(path)), "no ordinary file"),
        (
            lambda path, other: frozen.keep(path.parent, other),
            "not the extractor that this run was trained on",
        ),
    ],
)
def test_a_wrong_backbone_is_refused(tmp_path, variables, damage, said):
    sha256 = frozen.keep(tmp_path, variables["backbone"])
    assert_same_bits(frozen.restore(tmp_path, variables["backbone"], sha256), variables["backbone"])
    other = jax.tree.map(lambda x: x + 1, variables["backbone"])
    damage(tmp_path / frozen.NAME, other)
    with pytest.raises(InputError, match=said):
        frozen.restore(tmp_path, variables["backbone"], sha256)


def test_a_backbone_of_another_architecture_is_refused(tmp_path, variables):
    sha256 = frozen.keep(tmp_path, variables["backbone"])
    wider = build.method(dpnet_config({"model.backbone_options.widths": (4, 4, 12)}).model)
    like = jax.eval_shape(wider.init, jax.random.key(0))["backbone"]
    with pytest.raises(InputError, match="is of another architecture"):
        frozen.restore(tmp_path, like, sha256)
