"""What a checkpoint holds comes back bit for bit, and only into the architecture that it is of."""

import json
import re
import shutil

import jax
import numpy as np
import pytest

from fsjax.config import check_resumable
from fsjax.errors import InputError
from fsjax.experiment.settings import plan_of
from fsjax.models import build
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.runs import Run
from fsjax.training.step import make_state
from tests.runs import prnet_config
from tests.same import assert_same_bits
from tests.toy import ToySource

FOUND = {"data_version": "1.0.0", "steps": 7, "base_classes": ["cat", "dog"], "novel_classes": ["ant"]}


def state_shapes(widths=(4, 4, 8)):
    """The shapes of a run's state: those that restoring asks for."""
    config = prnet_config({"model.backbone_options.widths": widths})
    method, optimizer = build.method(config.model), plan_of(config, ToySource()).optimizer
    return jax.eval_shape(lambda: make_state(method.init(jax.random.key(0)), optimizer))


@pytest.fixture(scope="module")
def state():
    """As after seven steps, no leaf having a round value."""
    rng = np.random.default_rng(0)
    drawn = jax.tree.map(lambda x: np.asarray(rng.normal(size=x.shape) * 100, x.dtype), state_shapes())
    return drawn._replace(step=np.int32(7))


@pytest.fixture(scope="module")
def saved(tmp_path_factory, state):
    workdir = tmp_path_factory.mktemp("saved")
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save(state, prnet_config(), FOUND)
    return workdir


def test_a_state_comes_back_bit_for_bit(saved, state):
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.latest_step == 7
        back = checkpoints.restore(state_shapes())
        assert jax.tree.structure(back) == jax.tree.structure(state)
        assert_same_bits(back, state)
        assert_same_bits(checkpoints.variables(state.variables), state.variables)


def test_the_configuration_and_what_was_found_come_back(saved):
    with Checkpoints(saved) as checkpoints:
        config, found = checkpoints.stored()
    assert config.to_dict() == prnet_config().to_dict()  # tuples and all
    assert found == FOUND
    check_resumable(config, prnet_config(), saved)


@pytest.mark.parametrize(("last", "kept"), [(1, ["3"]), (2, ["2", "3"]), (3, ["1", "2", "3"])])
def test_the_latest_are_kept(tmp_path, state, last, kept):
    config = prnet_config({"train.keep_last": last})
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2, 2, 3):
            checkpoints.save(state._replace(step=np.int32(step)), config, FOUND)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == kept


def test_chosen_steps_stay_beside_the_two_latest_and_are_read(tmp_path, state):
    config = prnet_config({"train.keep": (2, 4)})
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2, 3, 4, 5, 6):
            checkpoints.save(state._replace(step=np.int32(step)), config, FOUND)
    kept = {path.name for path in (tmp_path / "checkpoints").iterdir() if path.is_dir()}
    assert kept == {"2", "4", "5", "6"}
    with Checkpoints(tmp_path, step=4) as checkpoints:
        assert int(checkpoints.restore(state_shapes()).step) == checkpoints.chosen() == 4
    said = r"no checkpoint 3 in .*, only \[2, 4, 5, 6\]: name one"
    with Checkpoints(tmp_path, step=3) as checkpoints, pytest.raises(InputError, match=said):
        checkpoints.stored()


@pytest.mark.parametrize(
    ("best", "kept"),
    [([1, 1, 1, 1, 1], {"1", "4", "5"}), ([1, 2, 2, 2, 5], {"4", "5"}), ([1, 1, 3, 3, 3], {"3", "4", "5"})],
)
def test_the_best_stays_beside_the_two_latest(best, kept, tmp_path, state):
    with Checkpoints(tmp_path) as checkpoints:
        for step, of_step in enumerate(best, 1):
            found = {**FOUND, "selection": {"step": of_step, "score": 1.5}}
            checkpoints.save(state._replace(step=np.int32(step)), prnet_config(), found)
    assert {path.name for path in (tmp_path / "checkpoints").iterdir() if path.is_dir()} == kept
    assert (Run.open(tmp_path).step, Run.open(tmp_path, 4).step) == (best[-1], 4)
    assert (Run.open(tmp_path).selected, Run.open(tmp_path, 4).selected) == (True, False)
    with Checkpoints(tmp_path) as checkpoints:
        assert int(checkpoints.restore(state_shapes()).step) == 5  # from where training goes on
        found = {**FOUND, "selection": {"step": best[-1], "score": 1.5}}
        checkpoints.save(state._replace(step=np.int32(6)), prnet_config(), found)
    assert (tmp_path / "checkpoints" / str(best[-1])).is_dir()


@pytest.mark.parametrize(
    ("widths", "said"),
    [
        ((4, 4, 12), r"layer3_0\.\w+\.\w+ is \(.*8.*\) there and \(.*12"),
        ((4, 4, 8, 8), r"layer4_0\.\w+\.\w+ is absent there and \("),
        ((4, 4), r"layer3_0\.\w+\.\w+ is \(.*\) there and absent"),
    ],
    ids=["another width", "a stage more", "a stage less"],
)
def test_another_architecture_is_named_by_its_parameter(saved, widths, said):
    like = state_shapes(widths)
    with Checkpoints(saved) as checkpoints:
        for restore, given in ((checkpoints.restore, like), (checkpoints.variables, like.variables)):
            with pytest.raises(InputError, match=said):
                restore(given)


def test_variables_that_are_not_finite_are_refused(tmp_path, state):
    kernel = state.variables["backbone"]["params"]["conv1"]["kernel"].copy()
    kernel[0, 0, 0, 0] = np.nan
    params = {**state.variables["backbone"]["params"], "conv1": {"kernel": kernel}}
    broken = {**state.variables, "backbone": {**state.variables["backbone"], "params": params}}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state._replace(variables=broken), prnet_config(), FOUND)
    damaged = r"is damaged \(backbone\.params\.conv1\.kernel is not finite\): delete the folder"
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(InputError, match=damaged):
        checkpoints.variables(broken)


def test_a_damaged_checkpoint_that_was_asked_for_has_no_other_in_its_place(saved, state, tmp_path):
    workdir = shutil.copytree(saved, tmp_path / "named")
    shutil.rmtree(workdir / "checkpoints/7/state")
    shutil.copytree(saved / "checkpoints/7", workdir / "checkpoints/8")
    cure = r"Checkpoint 7 .* is damaged \(.*\): name another step\.$"
    with Checkpoints(workdir, step=7) as checkpoints, pytest.raises(InputError, match=cure):
        checkpoints.restore(state_shapes())


def test_flipped_bytes_are_never_read_as_other_numbers(saved, state, tmp_path):
    workdir = shutil.copytree(saved, tmp_path / "flipped")
    arrays = (workdir / "checkpoints/7/state").glob("**/d/*")
    largest = max(arrays, key=lambda path: path.stat().st_size)
    whole, said = largest.read_bytes(), []
    for place in range(len(whole) // 32, len(whole), len(whole) // 16):
        flipped = bytes(byte ^ 0x55 for byte in whole[place : place + 8])
        largest.write_bytes(whole[:place] + flipped + whole[place + 8 :])
        with Checkpoints(workdir) as checkpoints:
            try:
                assert_same_bits(checkpoints.restore(state_shapes()), state)  # where nothing is stored
            except InputError as error:
                said.append(str(error))
    sentence = (
        rf"Checkpoint 7 in {workdir} is damaged \(.*\): delete the folder checkpoints/7 in it, and use the "
        r"one before\.$"
    )
    assert all(re.match(sentence, one) for one in said)
    assert sum("is not what was saved" in one for one in said) >= 3


def test_other_numbers_are_noticed_in_a_part_too(saved, state, tmp_path):
    """As if a byte had changed that no array format notices."""
    workdir = shutil.copytree(saved, tmp_path / "other")
    (path,) = (path for path in (workdir / "checkpoints/7/config").iterdir() if "version" in path.read_text())
    stored = json.loads(path.read_text())
    name = next(name for name in stored["sha256"] if name.startswith("variables.backbone."))
    stored["sha256"][name] = "0" * 64
    path.write_text(json.dumps(stored))
    with Checkpoints(workdir) as checkpoints:
        for read, like in ((checkpoints.restore, state_shapes()), (checkpoints.variables, state.variables)):
            with pytest.raises(InputError, match=rf"is damaged \({name} is not what was saved\)"):
                read(like)


def test_checkpoints_that_an_older_version_saved_are_read(saved, state, tmp_path):
    workdir = shutil.copytree(saved, tmp_path / "older")
    (path,) = (path for path in (workdir / "checkpoints/7/config").iterdir() if "version" in path.read_text())
    stored = json.loads(path.read_text())
    del stored["sha256"]
    path.write_text(json.dumps(stored))
    with Checkpoints(workdir) as checkpoints:
        assert_same_bits(checkpoints.restore(state_shapes()), state)


def test_without_a_checkpoint_the_folder_is_named(tmp_path, state):
    with Checkpoints(tmp_path / "nothing") as checkpoints:
        assert checkpoints.latest_step is None
        for ask in (checkpoints.stored, lambda: checkpoints.restore(state)):
            with pytest.raises(InputError, match=f"There is no checkpoint in {tmp_path}/nothing: train"):
                ask()
    assert not (tmp_path / "nothing").exists()
