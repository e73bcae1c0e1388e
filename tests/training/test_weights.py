"""Where variables come from before any training: a file, another run, or a seed."""

import jax
import numpy as np
import pytest

from fsjax.errors import InputError
from fsjax.models import build
from fsjax.models.prnet.prnet import PRNet
from fsjax.training.weights import initial_variables
from tests.models.patch_net import PatchNet
from tests.runs import dpnet_config, prnet_config
from tests.same import assert_same_bits

DPNET = build.method(dpnet_config().model)
PRNET = build.method(prnet_config().model)


def nobody(run):
    raise AssertionError("no run is asked for")


def drawn(method, seed=0, weights=""):
    return initial_variables(method, seed, weights, nobody)


def test_a_seed_draws_all_of_them():
    assert_same_bits(drawn(PRNET, 3), drawn(PRNET, 3))
    assert_same_bits(drawn(PRNET, 3), PRNET.init(jax.random.key(3)))
    kernels = [drawn(PRNET, seed)["backbone"]["params"]["conv1"]["kernel"] for seed in (3, 4)]
    assert (kernels[0] != kernels[1]).any()


def test_a_frozen_backbone_is_drawn_where_asked_for():
    assert set(drawn(DPNET, weights="random")) == {"backbone", "head"}


def test_a_file_holds_the_backbone(tmp_path):
    method = PRNet(PatchNet())
    params = {name: value + 1 for name, value in flat(method.init(jax.random.key(7))).items()}
    backbone = {name.removeprefix("backbone.params."): value for name, value in params.items()}
    np.savez(tmp_path / "patches.npz", **backbone)
    found = drawn(method, weights=str(tmp_path / "patches.npz"))
    assert flat(found).keys() == params.keys()
    for name, value in flat(found).items():
        np.testing.assert_array_equal(value, params[name])


def flat(tree, prefix=""):
    leaves = {}
    for name, value in tree.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return leaves


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(InputError, match=r"model\.weights is .*nothing is there: name a \.npz"):
        drawn(PRNET, weights=str(tmp_path / "nothing.npz"))
    with pytest.raises(InputError, match=f"There is no checkpoint in {tmp_path}"):
        drawn(PRNET, weights=str(tmp_path))
