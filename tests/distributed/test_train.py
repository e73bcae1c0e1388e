"""Two processes train as one does: the same losses and parameters, and every file written once."""

import jax
import numpy as np
import pytest

import train
from fsjax.models import build
from fsjax.training.curves import read_metrics
from fsjax.training.runs import Run
from tests.commands.conftest import write_folder
from tests.commands.programs import results, start
from tests.distributed.pairs import ended, start_pair
from tests.training.test_step import assert_close

FLAGS = (
    "--config.batch_size=3", "--config.train.select=novel_fold", "--config.train.select_every=2",
    "--config.eval.pictures=0",
)  # fmt: skip
"""Of four devices of two processes one stands idle."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Photos, and the configuration of two steps on them."""
    return write_folder(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def pair(place):
    """What the two processes of a run have said."""
    command = ["train.py", f"--config={place}/mini.py", f"--workdir={place}/pair", *FLAGS]
    return ended(start_pair(*command, f"--config.compilation_cache={place}/compiled"))


@pytest.fixture(scope="module")
def single(place):
    """The folder of the same run on one device."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "local_device_count", lambda: 1)
        assert start(train, f"--config={place}/mini.py", f"--workdir={place}/single", *FLAGS) == 0
    return place / "single"


def variables(folder):
    """What a run has learned by its last step."""
    run = Run.open(folder, step=2)
    return run.variables(build.method(run.config.model))


def test_both_processes_end_well_and_one_prints(pair):
    (code0, out0, err0), (code1, out1, err1) = pair
    assert (code0, code1) == (0, 0), err0 + err1
    assert "fusion2" in out0
    assert "fusion2" not in out1
    assert "batch_size=3 leaves 1 of 4 device slots idle" in err0
    assert "idle" not in err1


def test_two_processes_train_as_one_device_does(place, pair, single):
    together, alone = read_metrics(place / "pair"), read_metrics(single)
    assert [line.keys() for line in together] == [line.keys() for line in alone]
    for mine, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(list(mine.values()), list(other.values()), rtol=1e-4)
    assert_close(variables(place / "pair"), variables(single))


def test_every_file_is_written_once(place, pair, single):
    def names(folder):
        found = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        return sorted(name for name in found if not name.startswith(("checkpoints/", "tensorboard/")))

    assert names(place / "pair") == names(single)
    assert len(list((place / "pair" / "tensorboard").iterdir())) == 1
    kept = {path.name for path in (place / "pair" / "checkpoints").iterdir()}
    assert kept == {path.name for path in (single / "checkpoints").iterdir()}


def test_the_tables_are_those_of_one_device(place, pair, single):
    def rows(folder):
        return {row["name"]: row["mean_iou"] for row in results(folder)["rows"]}

    assert rows(place / "pair") == pytest.approx(rows(single), abs=0.5)  # a pixel may tip over


DPNET = (
    "model.name=dpnet", "model.weights=random", "model.dpnet.width=6", "model.dpnet.dis_hidden=5",
    "model.dpnet.pim_hidden=4", "model.dpnet.rates=1", "train.ways=1", "train.schedule=constant",
    "train.cached_features=True", "eval.rows=master",
)  # fmt: skip


@pytest.mark.slow
def test_two_processes_fill_features_that_are_kept(place):
    features, losses = {}, {}
    for name in ("single", "pair"):
        run, kept = place / f"dpnet_{name}", place / f"features_{name}"
        command = [f"--config={place}/mini.py", f"--workdir={run}", f"--config.data.feature_dir={kept}"]
        command += [f"--config.{field}" for field in (*DPNET, "batch_size=3", "eval.pictures=0")]
        if name == "single":
            assert start(train, *command) == 0
        else:
            assert [code for code, _, _ in ended(start_pair("train.py", *command))] == [0, 0]
        features[name] = sorted(path.relative_to(kept) for path in kept.rglob("*"))
        losses[name] = [line["loss"] for line in read_metrics(run)]
    assert features["pair"] == features["single"] != []
    np.testing.assert_allclose(losses["pair"], losses["single"], rtol=1e-3)
