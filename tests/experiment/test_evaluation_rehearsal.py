"""eval.py --dry_run: what would be evaluated, with and without data."""

import pytest

import eval as evaluation
from fsjax import experiment
from fsjax.errors import InputError
from fsjax.training.runs import Run
from tests.runs import dpnet_config, prnet_config

WHY = "There is no data set toys in data: prepare it."


@pytest.fixture(autouse=True)
def measured(step_is_not_compiled):
    """What calls were to be compiled for."""
    return step_is_not_compiled


def said_of(*arguments, **options):
    return " ".join(" ".join(experiment.rehearse_evaluation(*arguments, **options)).split())


def test_the_photos_of_a_run_are_counted(whole, sources):
    run = Run.open(whole)
    said = said_of(run.config, sources, run=run)
    _, specs, _ = experiment.novel_episodes(run.config, sources["test"], "")
    supports = {position for spec in specs for way in spec.support for position in way}
    queries = {position for spec in specs for position in spec.query}
    for part in (
        f"The checkpoint of step 6, of the run in {whole}.",
        f"6 episodes show {len(supports | queries)} different photos, {len(supports)} of them as supports "
        f"and {len(queries)} as queries",
        "Evaluated, with the photos of test that count, 2 classes: ",
        "1 run of 6 episodes, 1-way 1-shot with 1 query, drawn by class_uniform from seed 1234, at 32x32 px; "
        "scored at the size of the input, void ignored.",
        "8 devices (cpu) in 1 process, each with 1 photo at a time.",
        "a call for the features of 1 photo at 32x32 takes 2.50 GFLOP and 8.0 MB of memory",
    ):
        assert part in said
    assert "adapting" not in said


def test_without_data_the_rest_is_said(measured):
    config = prnet_config({"eval.rows": ("fusion2", "adapted"), "eval.shots": 5, "eval.label": "original"})
    said = said_of(config, {}, why=WHY)
    for part in (
        WHY,
        "No run: what is drawn at random, before any training.",
        "Rows: fusion2, adapted.",
        "segmenting 1 query of an episode at 512x512 takes",
        "adapting to an episode in 5 steps, as to the first 2 episodes of each run, takes",
    ):
        assert part in said
    *_, (_, images, masks, sizes) = measured
    assert (images.shape, masks.shape, sizes.shape) == ((1, 5, 32, 32, 3), (1, 5, 32, 32), (1, 5, 2))


def test_what_an_evaluation_would_refuse_is_refused(whole, sources):
    run = Run.open(whole)
    config = run.config.copy_and_resolve_references()
    config.fold = 1
    with pytest.raises(InputError, match="was trained on"):
        experiment.rehearse_evaluation(config, sources, run=run)
    config.model.scale = 3.0
    for given in (sources, {}):
        with pytest.raises(InputError, match=r"model\.scale"):
            experiment.rehearse_evaluation(config, given, run=run, why=WHY)


def test_the_command_says_it_and_writes_nothing(tmp_path, capsys):
    (tmp_path / "mini.py").write_text(
        "from tests.runs import dpnet_config\ndef get_config():\n"
        "    return dpnet_config({'data.name': 'nowhere', 'eval.scales': (1.0, 1.3)})\n"
    )
    flags = f"--config={tmp_path}/mini.py", f"--config.data.tfds_dir={tmp_path}", "--dry_run"
    assert evaluation.main(["eval.py", *flags]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "prepare it with python" in said
    assert "segmented at scales 1.0, 1.3" in said
    assert [path.name for path in tmp_path.iterdir()] == ["mini.py"]
    assert evaluation.main(["eval.py", *flags, f"--save_episodes={tmp_path}/saved.jsonl"]) == 2
    assert "--dry_run goes with neither" in capsys.readouterr().err


@pytest.mark.parametrize("config", [prnet_config(), dpnet_config()], ids=["prnet", "dpnet"])
def test_the_real_calls_are_compiled(config, monkeypatch):
    monkeypatch.undo()
    said = said_of(config, {}, why=WHY)
    assert said.count("Compiled for cpu, ") == 2
