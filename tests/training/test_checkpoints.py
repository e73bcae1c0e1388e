"""What a checkpoint holds comes back bit for bit, and only into the architecture that it is of."""

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from fsjax.config import check_resumable
from fsjax.errors import InputError
from fsjax.experiment.settings import plan_of
from fsjax.models import build
from fsjax.training import checkpoint_folders
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


def test_only_the_training_asks_whether_all_processes_stop(tmp_path, state, monkeypatch):
    """JAX believes the last step that it was asked for, and Orbax asks late, from a thread of its own."""
    asked = []
    monkeypatch.setattr(
        multihost_utils, "reached_preemption_sync_point", lambda step: bool(asked.append(step))
    )
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, prnet_config(), FOUND)
        checkpoints.finish()
        assert checkpoints.latest_step == 7
    assert asked == []


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


def test_what_a_training_deletes_meanwhile_is_not_damaged(saved, state, monkeypatch, caplog):
    """The folder is listed while its only checkpoint is 5, which is gone when it is read."""
    listed = [[5]]
    steps = checkpoint_folders.steps
    monkeypatch.setattr(checkpoint_folders, "steps", lambda place: listed.pop() if listed else steps(place))
    with Checkpoints(saved) as checkpoints:
        assert_same_bits(checkpoints.variables(state.variables), state.variables)
    assert not listed
    assert "damaged" not in caplog.text


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


def test_without_a_checkpoint_the_folder_is_named(tmp_path, state):
    with Checkpoints(tmp_path / "nothing") as checkpoints:
        assert checkpoints.latest_step is None
        for ask in (checkpoints.stored, lambda: checkpoints.restore(state)):
            with pytest.raises(InputError, match=f"There is no checkpoint in {tmp_path}/nothing: train"):
                ask()
    assert not (tmp_path / "nothing").exists()
