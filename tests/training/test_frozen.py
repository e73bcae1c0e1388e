"""A frozen backbone stays as it is bit for bit, and the file that keeps it is known by its hash."""

import jax
import numpy as np
import optax
import pytest

from fsjax.devices import replicate
from fsjax.errors import InputError
from fsjax.models import build
from fsjax.training import frozen
from fsjax.training.step import make_state, make_train_step, split
from tests.models.tiny import random_episode
from tests.runs import dpnet_config
from tests.same import assert_same_bits

METHOD = build.method(dpnet_config().model)
OPTIMIZER = optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.01, 0.9))


@pytest.fixture(scope="module")
def variables():
    return jax.tree.map(np.asarray, jax.jit(METHOD.init)(jax.random.key(0)))


def batch(devices, per_device, weights=None):
    episodes = [random_episode(seed, ways=1, side=32) for seed in range(4)]
    stacked = jax.tree.map(lambda *fields: np.stack(fields), *(episodes * 8)[: devices * per_device])
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
        assert_same_bits(jax.tree.map(lambda x: np.asarray(x[0]), stacked), fixed)  # nor donated
        results.append(jax.tree.map(lambda x: np.asarray(x[0]), (state.variables, metrics)))
    moved = jax.tree.map(lambda new, old: bool((new != old).any()), results[0][0]["head"], learned["head"])
    assert all(jax.tree.leaves(moved))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *results)


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
