"""train.py --dry_run where data or weights are missing, and what it asks the costs of."""

import jax
import numpy as np
import pytest

import train
from fsjax import experiment
from fsjax.errors import InputError
from fsjax.experiment.rehearsal import _batches
from fsjax.experiment.settings import plan_of
from fsjax.models.backbones import hub
from tests.runs import dpnet_config, prnet_config

WHY = "There is no data set toys in data: prepare it."


@pytest.fixture(autouse=True)
def measured(step_is_not_compiled):
    """What steps were to be compiled for."""
    return step_is_not_compiled


def said_of(config, sources, folder, why=""):
    return " ".join(" ".join(experiment.rehearse(config, sources, folder, why)).split())


def test_without_data_all_else_is_said_and_nothing_written(tmp_path):
    said = said_of(prnet_config({"batch_size": 3, "data.name": "toys"}), {}, tmp_path / "run", WHY)
    for part in (
        "values are learned. Data: toys, not at hand, fold 0.",
        WHY,
        "6 steps of 3 episodes, 2-way 1-shot with 1 query at 32x32 px",
        "Learning rate: 0.02, from step 2 on 0.002",
        "8 devices (cpu) in 1 process, each with 1 episode, ",
        "5 of 8 slots are idle",
        "a step takes 2.50 GFLOP and 8.0 MB of memory on each device: 3.0 MB for weights, optimiser state,",
        "Nothing was trained, and nothing is written.",
    ):
        assert part in said
    assert not (tmp_path / "run").exists()


def test_both_ways_say_the_same_of_the_step(sources, tmp_path, measured):
    config = dpnet_config()
    with_data, without = (said_of(config, given, tmp_path / "run", WHY) for given in (sources, {}))
    for begin, end in (("4 steps of 2", "class_uniform."), ("8 devices", "Operations")):
        part = without[without.index(begin) : without.index(end)]
        assert part in with_data
    first, second = measured
    assert jax.tree.all(jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), first, second))


@pytest.mark.parametrize("values", [{}, {"train.shots": 2, "train.queries": 3, "batch_size": 9}])
def test_the_step_is_measured_for_the_batches_that_training_reads(values, sources, tmp_path, measured):
    config = prnet_config(values)
    said_of(config, {}, tmp_path, WHY)
    ((*_, batch),) = measured
    read = _batches(config, sources["train"], plan_of(config, sources["train"]), 0)[0]
    for asked, array in zip(batch, read, strict=True):
        assert (asked.shape, asked.dtype) == (array.shape, np.asarray(array).dtype)


def test_steps_that_follow_from_the_data(tmp_path):
    values = {"train.policy": "pair_epoch", "train.epochs": 3, "train.ways": 1, "train.schedule": "cosine"}
    said = said_of(prnet_config(values), {}, tmp_path, WHY)
    assert "3 walks through all pairs of a photo and a class, in steps of 2 episodes" in said
    assert "0.02 at its highest, cosine; how it changes follows from the number of steps." in said


def test_weights_that_are_missing_are_named_and_nothing_is_fetched(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "fetch", lambda file: pytest.fail("something was fetched"))
    monkeypatch.setattr(hub, "cached", lambda file: None)
    fetched = (
        "model.safetensors of me/mine, are not in the hub's cache: they are fetched when they are needed."
    )
    for given in (sources, {}):
        assert fetched in said_of(dpnet_config({"model.weights": "me/mine"}), given, tmp_path / "run", WHY)
        missing = prnet_config({"model.weights": "no/such.npz"})
        assert "model.weights is no/such.npz, and nothing is there" in said_of(missing, given, tmp_path, WHY)


def test_a_run_in_the_folder_goes_on_or_is_refused(whole):
    assert "6 steps are done" in said_of(prnet_config(), {}, whole, WHY)
    with pytest.raises(InputError, match=r"train\.size"):
        experiment.rehearse(prnet_config({"train.size": 40}), {}, whole, WHY)


CONFIG = """
from tests.runs import prnet_config

def get_config():
    return prnet_config({"data.name": "nowhere"})
"""


def test_the_command_ends_well_without_data(tmp_path, capsys):
    (tmp_path / "mini.py").write_text(CONFIG)
    flags = f"--config={tmp_path}/mini.py", f"--workdir={tmp_path}/run", f"--config.data.tfds_dir={tmp_path}"
    assert train.main(["train.py", *flags, "--dry_run"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"There is no data set nowhere in {tmp_path}: prepare it with python" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mini.py"]
    assert train.main(["train.py", *flags]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: There is no data set nowhere")
