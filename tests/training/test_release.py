"""A run as one file for others, and back: the same variables, and all that is to be known of them."""

import hashlib
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file

import fsjax
from fsjax.config import VERSION, Found, check
from fsjax.errors import InputError
from fsjax.evaluation.rows import check_rows
from fsjax.models import build
from fsjax.models.backbones.backbone import Features
from fsjax.models.dpnet.dpnet import DPNetSettings
from fsjax.training import frozen, release
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.runs import Run
from fsjax.training.step import TrainState, split
from tests.runs import dpnet_config, prnet_config
from tests.same import assert_same_bits

FOUND = Found(
    data_version="1.0.0",
    steps=6,
    base_classes=["cat", "dog"],
    novel_classes=["ant"],
    weights_sha256="5" * 64,
)


def drawn(method, seed):
    """Variables of any values; initialisers would be compiled only to draw better ones."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(method.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(leaf.dtype), shapes)


def saved(folder, config, seed=3, step=6):
    """A run's folder with one checkpoint of variables that a seed draws."""
    method, found = build.method(config.model), FOUND
    variables = drawn(method, seed)
    learned, fixed = split(method, variables)
    if fixed:
        found = {**FOUND, "backbone_sha256": frozen.keep(folder, fixed["backbone"])}
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(TrainState(np.int32(step), learned, {}), config, found)
    return folder, variables


@pytest.fixture(scope="module")
def prnet(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("prnet"), prnet_config())


@pytest.fixture(scope="module")
def dpnet(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("dpnet"), dpnet_config({"model.dpnet.msf": False}))


def header_of(file):
    with safetensors.safe_open(file, "numpy") as opened:
        return json.loads(opened.metadata()["fsjax"])


def logits(method, variables):
    """What a DPNet answers for features of a support and a query, of 5 x 5 cells each."""
    channels = sum(method.backbone.channels.values())
    maps = np.random.default_rng(0).uniform(size=(2, 1, 5, 5, channels)).astype(np.float32)
    mask = np.zeros((33, 33), np.uint8)
    mask[8:20, 8:20] = 1

    def whole(maps, mask):
        support, query = (Features(x, jnp.full((1, 2), 5)) for x in maps)
        support = jax.tree.map(lambda x: x[0], support)
        described = method.describe(variables, support, mask, jnp.array([33, 33]))
        described = jax.tree.map(lambda x: x[None, None], described)
        fitted = method.fit(variables, described, jnp.ones((1, 1), bool))
        return method.segment(variables, fitted, query, (9, 9), jnp.array([[9, 9]]), DPNetSettings())

    return jax.tree.map(np.asarray, jax.jit(whole)(maps, mask))


def test_what_is_read_is_what_the_run_holds_bit_for_bit(prnet, tmp_path):
    folder, variables = prnet
    sha256 = release.export_run(folder, tmp_path / "deep" / "prnet.safetensors")
    file = tmp_path / "deep" / "prnet.safetensors"
    assert sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    model, run = release.read(file), Run.open(folder)
    assert_same_bits(model.variables, variables)
    assert model.config.to_dict() == run.config.to_dict()
    assert (model.found, model.method, model.path) == (FOUND, build.method(run.config.model), file)


def test_other_programs_read_the_arrays_and_the_header(prnet, tmp_path):
    """By the format's own reader: readable names, and everything in one JSON text."""
    folder, variables = prnet
    file = tmp_path / "prnet.safetensors"
    release.export_run(folder, file, made_by={"commit": "c0ffee"})
    arrays, header = load_file(file), header_of(file)
    kernel = arrays["backbone.params.layer1_0.conv1.kernel"]
    np.testing.assert_array_equal(kernel, variables["backbone"]["params"]["layer1_0"]["conv1"]["kernel"])
    assert header["version"] == VERSION
    assert header["fsjax"] == fsjax.__version__
    assert (header["method"], header["step"], header["selected"]) == ("prnet", 6, False)
    assert header["found"] == FOUND
    assert header["config"]["model"]["backbone"] == "small"
    assert header["made_by"] == {"commit": "c0ffee"}
    assert header["evaluation"] is None
    params = [array for name, array in arrays.items() if ".batch_stats." not in name]
    assert header["parameters"] == sum(map(np.size, params)) > 1000
    assert header["variables_sha256"] == header["checkpoint_sha256"] == frozen.digest(variables)


def test_a_run_is_always_the_same_file(prnet, tmp_path):
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    assert len({release.export_run(prnet[0], file) for file in files}) == 1


def test_dpnets_auxiliary_branch_is_left_out(dpnet, tmp_path):
    """The master branch answers as before; the auxiliary one is no output, and a sentence says why."""
    folder, variables = dpnet
    file = tmp_path / "dpnet.safetensors"
    release.export_run(folder, file)
    model, run = release.read(file), Run.open(folder)
    assert not [name for name in load_file(file) if "aux" in name]
    dropped = sum(map(np.size, jax.tree.leaves(variables["head"]["aux_decoder"])))
    whole = {**variables["head"], **variables["backbone"]["params"]}
    assert model.header["parameters"] == sum(map(np.size, jax.tree.leaves(whole))) - dropped
    assert model.header["as_trained"] == {"model.dpnet.auxiliary": True, "model.dpnet.lambda1": 1.0}
    assert model.header["checkpoint_sha256"] == frozen.digest(variables) != frozen.digest(model.variables)
    assert model.method.outputs == model.config.eval.rows == ("master",)
    check(model.config)
    with pytest.raises(InputError, match=r"'aux', and this DPNet has no auxiliary branch, which an exported"):
        check_rows(["aux"], model.method)

    method = build.method(run.config.model)
    before, after = logits(method, run.variables(method)), logits(model.method, model.variables)
    assert (before.keys(), after.keys()) == ({"aux", "master"}, {"master"})
    assert np.ptp(after["master"]) > 0
    np.testing.assert_array_equal(after["master"], before["master"])


def test_a_dpnet_without_the_branch_is_exported_as_it_is(tmp_path):
    config = dpnet_config(
        {"model.dpnet.auxiliary": False, "model.dpnet.lambda1": 0.0, "eval.rows": ("master",)}
    )
    _, variables = saved(tmp_path / "run", config)
    release.export_run(tmp_path / "run", tmp_path / "x.safetensors")
    model = release.read(tmp_path / "x.safetensors")
    assert model.header["as_trained"] == {}
    assert_same_bits(model.variables, variables)


def test_nothing_is_left_of_a_model_whose_auxiliary_branch_alone_was_trained(tmp_path):
    saved(tmp_path / "run", dpnet_config({"model.dpnet.aux_only": True}))
    with pytest.raises(InputError, match=r"run was trained with model.dpnet.aux_only, and an exported model"):
        release.export_run(tmp_path / "run", tmp_path / "x.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_folders_of_the_machine_are_not_published(tmp_path):
    private = os.path.abspath(os.sep + os.path.join("home", "somebody"))
    values = {
        "compilation_cache": f"{private}/compiled",
        "data.tfds_dir": f"{private}/data",
        "data.feature_dir": f"{private}/features",
        "model.weights": f"{private}/resnet.npz",
    }
    saved(tmp_path / "run", prnet_config(values))
    release.export_run(tmp_path / "run", tmp_path / "x.safetensors")
    assert b"somebody" not in (tmp_path / "x.safetensors").read_bytes()
    assert release.read(tmp_path / "x.safetensors").config.model.weights == "resnet.npz"


@pytest.mark.parametrize(
    ("weights", "published"),
    [
        ("../of_a_client/resnet.npz", "resnet.npz"),
        ("~/resnet.safetensors", "resnet.safetensors"),
        ("imagenet", "imagenet"),
        ("timm/resnet50.tv_in1k", "timm/resnet50.tv_in1k"),
        ("hf://me/mine/a.safetensors", "hf://me/mine/a.safetensors"),
        ("", ""),
    ],
)
def test_of_weights_the_name_is_published(weights, published, tmp_path):
    """Of a file without its folders; of a hub's repository whole."""
    saved(tmp_path / "run", prnet_config({"model.weights": weights}))
    release.export_run(tmp_path / "run", tmp_path / "x.safetensors")
    assert release.read(tmp_path / "x.safetensors").config.model.weights == published


def test_a_step_can_be_named(tmp_path):
    config = prnet_config()
    _, first = saved(tmp_path / "run", config, seed=1, step=3)
    _, last = saved(tmp_path / "run", config, seed=2, step=6)
    for step, variables in ((3, first), (None, last)):
        release.export_run(tmp_path / "run", tmp_path / "x.safetensors", step)
        model = release.read(tmp_path / "x.safetensors")
        assert model.header["step"] == (step or 6)
        assert_same_bits(model.variables, variables)


def test_scores_are_kept_only_of_the_same_checkpoint(prnet, tmp_path):
    folder, variables = prnet
    of = {"checkpoint_sha256": frozen.digest(variables), "rows": []}
    for evaluation, kept in ((of, of), ({**of, "checkpoint_sha256": "0" * 64}, None), (None, None)):
        release.export_run(folder, tmp_path / "x.safetensors", evaluation=evaluation)
        assert release.read(tmp_path / "x.safetensors").header["evaluation"] == kept


def test_an_export_is_replaced_and_nothing_else(prnet, dpnet, tmp_path):
    file = tmp_path / "x.safetensors"
    release.export_run(prnet[0], file)
    release.export_run(dpnet[0], file)
    assert release.read(file).header["method"] == "dpnet"
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes((dpnet[0] / frozen.NAME).read_bytes())
    for name, sentence in (
        ("weights.safetensors", "is there already and is no exported model: name another file"),
        ("x.npz", "let its name end in .safetensors"),
    ):
        before = weights.read_bytes()
        with pytest.raises(InputError, match=sentence):
            release.export_run(prnet[0], tmp_path / name)
        assert weights.read_bytes() == before
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(InputError, match="is a folder and cannot be written"):
        release.export_run(prnet[0], tmp_path / "folder.safetensors")


def test_an_export_is_told_from_weights_by_its_header(prnet, dpnet, tmp_path):
    file = tmp_path / "renamed.bin"
    release.export_run(prnet[0], tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").rename(file)
    whole = file.read_bytes()
    assert release.is_export(file)
    file.write_bytes(whole[:40])  # what is damaged is ours all the same, so that it is called damaged
    assert release.is_export(file)
    os.mkfifo(tmp_path / "pipe")
    file.write_bytes(b"")
    others = [file, dpnet[0] / frozen.NAME, tmp_path, tmp_path / "absent", tmp_path / "pipe"]
    assert not any(map(release.is_export, others))


def test_an_older_configuration_is_brought_up_to_date(prnet, tmp_path, monkeypatch):
    """The file of a fsjax whose table had version 2: `data.dir`, and `data.min_area` a number."""

    def old(config, found):
        stored = {"version": 2, "config": config.to_dict(), "found": dict(found)}
        stored["config"]["data"] |= {"dir": "photos", "min_area": 2048}
        return json.loads(json.dumps(stored))

    monkeypatch.setattr(release, "store", old)
    release.export_run(prnet[0], tmp_path / "x.safetensors")
    model = release.read(tmp_path / "x.safetensors")
    assert model.config.data.min_area == "pfenet"
    assert "dir" not in model.config.data
    assert_same_bits(model.variables, prnet[1])
