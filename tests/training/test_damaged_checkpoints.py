"""Of a damaged checkpoint nothing is used, and nothing sound is hidden by it."""

import contextlib
import json
import logging
import os
import shutil

import numpy as np
import pytest

from fsjax.errors import InputError, NotFiniteError
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.digests import leaves
from fsjax.training.runs import Run
from fsjax.training.step import TrainState
from tests.runs import prnet_config
from tests.same import assert_same_bits

FOUND = {"data_version": "1.0.0", "steps": 9, "base_classes": ["cat"], "novel_classes": ["ant"]}


def state(step):
    """As after some steps, of a network of two arrays."""
    rng = np.random.default_rng(step)
    weights = {"kernel": rng.normal(size=(40, 30)).astype(np.float32), "bias": rng.normal(size=50)}
    trace = {"kernel": rng.normal(size=(40, 30)).astype(np.float32)}
    return TrainState(np.int32(step), {"backbone": {"params": weights}, "head": {}}, ({"trace": trace}, ()))


def save(workdir, *steps):
    for step in steps:  # each run's last one is written to its end
        with Checkpoints(workdir) as checkpoints:
            checkpoints.save(state(step), prnet_config(), FOUND)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Checkpoints of the steps 7 and 9."""
    workdir = tmp_path_factory.mktemp("saved")
    save(workdir, 7, 9)
    return workdir


@pytest.fixture
def workdir(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "run")


def files_of(workdir, step):
    return sorted(path for path in (workdir / "checkpoints" / str(step)).rglob("*") if path.is_file())


def read(workdir, step=None):
    """Returns which step was read, after making sure that all of it is what was saved."""
    with Checkpoints(workdir, step=step) as checkpoints:
        chosen = checkpoints.chosen()
        config, found = checkpoints.stored()
        assert (config.to_dict(), found) == (prnet_config().to_dict(), FOUND)
        assert_same_bits(checkpoints.restore(state(chosen)), state(chosen))
        assert_same_bits(checkpoints.variables(state(chosen).variables), state(chosen).variables)
    return chosen


def stored_in(workdir, step):
    """Returns the file of the configuration, and what it holds."""
    (path,) = (
        path for path in files_of(workdir, step) if path.parent.name == "config" and "{" in path.read_text()
    )
    return path, json.loads(path.read_text())


def forget_files(workdir, step):
    """As if the program had been killed before it wrote the hashes of the files, or were an older one."""
    (workdir / "checkpoints" / str(step) / "files.json").unlink()


@pytest.mark.parametrize("hashed", [True, False], ids=["hashed files", "files without hashes"])
def test_no_damaged_file_gives_other_numbers(hashed, workdir, capfd, caplog):
    """In every file a byte is changed, or its end cut off: that is told, or what was saved is read."""
    if not hashed:
        forget_files(workdir, 9)
    caplog.set_level(logging.CRITICAL, "absl")  # whose handler keeps the closed stream of an earlier test
    rng, unread = np.random.default_rng(0), []
    for path in files_of(workdir, 9):
        whole = path.read_bytes()
        at = rng.integers(len(whole))
        for damaged in (whole[:at] + bytes([whole[at] ^ 0x15]) + whole[at + 1 :], whole[:at])[: 1 + hashed]:
            path.write_bytes(damaged)
            with contextlib.suppress(InputError):
                read(workdir, step=9)
                unread.append(path.name)
        path.write_bytes(whole)
    if hashed:  # all but those that nothing is read from
        assert set(unread) <= {"_CHECKPOINT_METADATA", "commit_success.txt", "files.json"}
        assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "damage",
    [lambda folder: shutil.rmtree(folder / "state"), lambda folder: shutil.rmtree(folder / "config")],
)
def test_the_newest_sound_one_is_read_and_what_is_skipped_is_told(damage, workdir, caplog):
    damage(workdir / "checkpoints" / "9")
    with caplog.at_level(logging.WARNING, logger="fsjax"):
        assert Run.open(workdir).step == 7
    (record,) = caplog.records
    assert record.getMessage().startswith(f"Checkpoint 9 in {workdir} is damaged (its file ")
    assert record.getMessage().endswith("is missing) and skipped: the newest sound one is 7.")
    with pytest.raises(
        InputError, match=rf"Checkpoint 9 in {workdir} is damaged \(.*\): name another step\.$"
    ):
        read(workdir, step=9)
    assert read(workdir, step=7) == 7


def test_an_empty_folder_is_no_checkpoint(workdir):
    (workdir / "checkpoints" / "12").mkdir()
    assert read(workdir) == 9
    shutil.rmtree(workdir / "checkpoints")
    (workdir / "checkpoints" / "12").mkdir(parents=True)
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.latest_step is None


def test_where_none_is_sound_all_are_named(workdir):
    for step in (7, 9):
        shutil.rmtree(workdir / "checkpoints" / str(step) / "state")
    said = rf"Every checkpoint in {workdir} is damaged, 9 \(its file .*\), 7 \(its file .*\): copy the run's"
    with pytest.raises(InputError, match=said):
        Run.open(workdir)


def test_a_training_puts_a_damaged_one_aside_and_saves_over_it(workdir):
    shutil.rmtree(workdir / "checkpoints/9/state")
    for left in ("12", "8.orbax-checkpoint-tmp"):
        (workdir / "checkpoints" / left).mkdir()
    with Checkpoints(workdir) as checkpoints:
        checkpoints.clear()
        assert checkpoints.latest_step == 7
        checkpoints.save(state(8), prnet_config(), FOUND)
        checkpoints.save(state(9), prnet_config(), FOUND)
    names = {path.name for path in (workdir / "checkpoints").iterdir()}
    assert names == {"8", "9", "damaged_9"}
    assert read(workdir) == 9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda stored: stored["config"]["train"].update(learning_rate=0.5),
            "its configuration is not what was",
        ),
        (lambda stored: stored["found"].update(steps=8), "its configuration is not what was saved"),
        (lambda stored: stored["sha256"].pop("step"), "its configuration is not what was saved"),
        (lambda stored: stored.update(rest_sha257=stored.pop("rest_sha256")), "rest_sha257 is stored in it"),
        (
            lambda stored: (stored.pop("rest_sha256"), stored["sha256"].pop("step")),
            "step is not what was saved",
        ),
        (lambda stored: (stored.pop("rest_sha256"), stored["sha256"].update(more="0")), "more is missing"),
    ],
)
def test_what_lies_beside_the_state_is_checked(change, said, workdir):
    forget_files(workdir, 9)
    path, stored = stored_in(workdir, 9)
    change(stored)
    path.write_text(json.dumps(stored))
    with pytest.raises(InputError, match=rf"Checkpoint 9 .* is damaged \({said}"):
        read(workdir, step=9)
    assert read(workdir) == 7


@pytest.mark.parametrize("known", [("sha256",), ()], ids=["0.5", "before 0.5"])
def test_checkpoints_that_an_older_version_saved_are_read(known, workdir):
    forget_files(workdir, 9)
    path, stored = stored_in(workdir, 9)
    for name in {"sha256", "rest_sha256"} - set(known):
        del stored[name]
    path.write_text(json.dumps(stored))
    assert read(workdir) == 9


def test_numbers_that_are_not_finite_are_never_saved(tmp_path):
    save(tmp_path, 7)
    broken = state(8)
    broken.optimizer_state[0]["trace"]["kernel"][3, 3] = np.inf
    said = r"^After step 8 optimizer_state\.0\.trace\.kernel is not finite"
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(NotFiniteError, match=said):
        checkpoints.save(broken, prnet_config(), FOUND)
    assert read(tmp_path) == 7


def test_numbers_that_an_older_version_saved_and_are_not_finite_are_skipped(workdir, monkeypatch):
    monkeypatch.setattr("fsjax.training.checkpoints.np.isfinite", np.ones_like)
    broken = state(10)
    broken.variables["backbone"]["params"]["kernel"][3, 3] = np.nan
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save(broken, prnet_config(), FOUND)
    monkeypatch.undo()
    with pytest.raises(
        InputError, match=r"Checkpoint 10 .* \(variables\.backbone\.params\.kernel is not finite\)"
    ):
        read(workdir, step=10)
    assert read(workdir) == 9


def test_names_of_leaves_are_their_places():
    assert set(leaves(state(1)._asdict())) == {
        "step", "variables.backbone.params.kernel", "variables.backbone.params.bias",
        "optimizer_state.0.trace.kernel",
    }  # fmt: skip


def test_a_pipe_is_named_and_not_waited_for(workdir):
    path = files_of(workdir, 9)[0]
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match=f"{path} is no ordinary file"):
        read(workdir)


def test_what_orbax_cannot_take_for_its_own_is_named(workdir):
    path = workdir / "checkpoints" / "9" / "_CHECKPOINT_METADATA"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"metrics": ["x"]}))
    with pytest.raises(
        InputError, match=r"_CHECKPOINT_METADATA in .*checkpoints is damaged .*: delete these"
    ):
        read(workdir)
    for other in workdir.rglob("_CHECKPOINT_METADATA"):
        other.unlink()
    assert read(workdir) in (7, 9)
