"""train.py --dry_run: what it says, against loops over the masks; its sheet; that nothing else is left."""

import logging
import re

import jax
import numpy as np
import pytest
from PIL import Image

import train
from fsjax import experiment
from fsjax.data.index import ClassIndex
from fsjax.data.redraws import count_redraws
from fsjax.data.sampling import EpisodeSampler
from fsjax.devices import spread
from fsjax.errors import InputError
from fsjax.evaluation.pictures import training_sheet
from fsjax.experiment import rehearsal, sentences
from fsjax.experiment.settings import plan_of
from fsjax.models import build
from tests.datasets.drawn import prepare
from tests.runs import dpnet_config, prnet_config, toy_sources

LARGE = 120  # pixels


@pytest.fixture
def drawn(monkeypatch):
    """The episodes that were drawn."""
    seen = []
    draw = training_sheet.training_sheet

    def spied(path, episodes, class_names):
        seen.extend(episodes)
        draw(path, episodes, class_names)

    monkeypatch.setattr(rehearsal, "training_sheet", spied)
    return seen


@pytest.fixture(autouse=True)
def measured(step_is_not_compiled):
    """What steps were to be compiled for."""
    return step_is_not_compiled


def photos_with(source, class_id, least=1, without=()):
    """How many photos show a class, counted pixel by pixel, and none of some others."""
    found = 0
    for position in range(len(source.ids)):
        labels = source.labels(position)
        dropped = any((labels == other).any() for other in without)
        found += int((labels == class_id).sum() >= least and not dropped)
    return found


def said_of(config, sources, folder):
    """What a rehearsal says, in one line."""
    lines = experiment.rehearse(config, sources, folder)
    assert max(map(len, lines)) <= 100
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize("drop", [False, True])
def test_classes_and_pairs_are_those_of_the_masks(sources, tmp_path, drop):
    config = prnet_config(
        {"fold": 1, "data.min_area": str(LARGE), "data.drop_novel_images": drop, "train.ways": 1}
    )
    source = sources["train"]
    said = said_of(config, sources, tmp_path)
    base = {c: photos_with(source, c, LARGE, (3, 4) if drop else ()) for c in (1, 2, 5, 6)}
    novel = {c: photos_with(source, c, LARGE) for c in (3, 4)}
    trained, evaluated = said.split("Evaluated")
    for part, counts in ((trained, base), (evaluated, novel)):
        for c, count in counts.items():
            assert re.search(rf"\b{source.class_names[c - 1]} {count}\b", part)
    assert "Trained on, with the photos of test that count, 4 classes" in said
    pairs = sum(base.values())
    assert f"make {pairs} eligible pairs" in said
    # 6 steps of 2 episodes with one query each
    assert f"12 episodes are {12 / pairs:.3g} epochs of them" in said


def test_the_sheet_shows_the_episodes_of_the_training_that_begins_there(
    sources, tmp_path, drawn, monkeypatch
):
    config = prnet_config({"train.flip": True, "train.crop": 1.5, "train.rotate": 20.0})
    said = said_of(config, sources, tmp_path / "run")
    assert "6 steps of 2 episodes, 2-way 1-shot with 1 query at 32x32 px" in said
    assert "Nothing was trained." in said
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["dry_run.png"]
    with Image.open(tmp_path / "run" / "dry_run.png") as image:
        assert image.height > image.width
    trained = []
    monkeypatch.setattr("fsjax.experiment.training.prefetch", lambda batches: seen(batches, trained))
    experiment.train(config, sources, tmp_path / "run")
    assert [int(episode.index) for episode in drawn] == [0, 1, 2, 3, 4, 5]
    for index, episode in enumerate(drawn):
        batch = trained[index // 2]
        place = np.unravel_index(index % 2, batch.weight.shape)
        np.testing.assert_array_equal(episode.query_images, batch.query_images[place])
        np.testing.assert_array_equal(episode.support_masks, batch.support_masks[place])
    assert "6 steps are done" in said_of(config, sources, tmp_path / "run")


def seen(batches, kept):
    """Hands batches on, and keeps them."""
    for batch in batches:
        kept.append(batch)
        yield spread(batch)


def test_what_is_learned_and_frozen_is_counted(sources, tmp_path):
    config = dpnet_config()
    method = build.method(config.model)
    shapes = jax.eval_shape(method.init, jax.random.key(0))
    head = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes["head"]))
    backbone = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes["backbone"]))
    said = said_of(config, sources, tmp_path)
    assert f"{head:,} values are learned; {backbone:,} are frozen." in said


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "0.02, from step 2 on 0.002, from step 4 on 0.0002."),
        ({"train.schedule": "constant"}, "0.02 throughout."),
        (
            {"train.schedule": "cosine", "train.warmup": 4, "train.steps": 40},
            "rises from 0 to 0.02 over 4 steps, then falls from 0.02 to",
        ),
        (
            {
                "batch_size": 4,
                "lr_scaling": "linear",
                "train.reference_batch_size": 2,
                "train.schedule": "constant",
            },
            "0.04 throughout.",
        ),
    ],
)
def test_the_learning_rate_in_words(sources, tmp_path, values, words):
    assert f"Learning rate: {words}" in said_of(prnet_config(values), sources, tmp_path)


def test_idle_slots_are_counted(sources, tmp_path):
    said = said_of(prnet_config({"batch_size": 3}), sources, tmp_path)
    assert "8 devices (cpu)" in said
    assert "5 of 8 slots are idle: --config.batch_size=8 --config.lr_scaling=linear would use them." in said


def test_redrawn_crops_are_counted(sources, tmp_path):
    config = prnet_config({"train.crop": 3.0, "train.steps": 5, "batch_size": 2})
    said = said_of(config, sources, tmp_path)
    plan = plan_of(config, sources["train"])
    found = count_redraws(sources["train"], [plan.sampler(i) for i in range(10)], plan.inputs, plan.seed)
    assert found.again > 0
    assert (
        f"first 10 episodes: of {found.photos} photos {found.again} are drawn anew, as an object would "
        f"be lost, {found.attempts} times in all"
    ) in said
    assert "Crops" not in said_of(prnet_config(), sources, tmp_path)


def test_of_many_classes_the_most_and_least_frequent_are_named(tmp_path):
    C, n = 300, 310
    areas = np.zeros((n, C), np.int32)
    for c in range(C):
        areas[c : c + 2 + (c < 200), c] = 9  # the first 200 classes have three photos, the others two
    flags, sizes = np.ones((n, C), np.uint8), np.full((n, 2), 9, np.int32)
    index = ClassIndex([str(i) for i in range(n)], areas, flags, sizes)
    names = [f"c{c:03d}" for c in range(C)]
    sampler = EpisodeSampler(index, names, range(1, C + 1), ways=1, shots=1, queries=1, seed=0)
    told = sentences.classes("Trained on", sampler).replace(sentences.TIED, " ")
    assert told.startswith("Trained on, 300 classes: c000 3, c001 3, ")
    assert told.endswith(", c299 2.")
    assert "c059 3, (180 others), c240 2" in told


def test_what_training_would_refuse_is_refused_and_leaves_nothing(sources, tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    for values, sentence in (
        ({"train.shots": 60}, "eligible images"),
        ({"fold": 7}, "fold=7"),
    ):
        with pytest.raises(InputError, match=sentence):
            experiment.rehearse(prnet_config(values), sources, tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_photos_that_cannot_be_read_leave_nothing(folder, tmp_path, monkeypatch):
    sources = toy_sources(folder)

    def damaged(position):
        raise InputError("The photo is damaged.")

    monkeypatch.setattr(sources["train"], "image", damaged)
    with pytest.raises(InputError, match="is damaged"):
        experiment.rehearse(prnet_config(), sources, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_training_in_the_folder_is_refused(sources, whole):
    before = {path.name for path in whole.iterdir()}
    with pytest.raises(InputError, match=r"train\.size"):
        experiment.rehearse(prnet_config({"train.size": 40}), sources, whole)
    assert {path.name for path in whole.iterdir()} == before


def test_several_ways_and_shots_have_a_column_each(sources, tmp_path, drawn):
    experiment.rehearse(
        prnet_config({"train.ways": 2, "train.shots": 2, "train.queries": 3}), sources, tmp_path
    )
    assert drawn[0].support_masks.shape[:2] == (2, 2)
    assert drawn[0].query_masks.shape[0] == 3
    assert (tmp_path / "dry_run.png").exists()


CONFIG = """
from tests.datasets.drawn import prepare
from tests.runs import prnet_config

def get_config():
    return prnet_config({"data.name": "drawn", "data.leave_out": ("dog",), "fold": 1, "train.ways": 1})
"""


def test_the_command_says_it_and_ends_well(tmp_path, capsys):
    prepare(tmp_path / "built")
    (tmp_path / "mini.py").write_text(CONFIG)
    flags = [
        f"--config={tmp_path}/mini.py",
        f"--config.data.tfds_dir={tmp_path}/built",
        f"--workdir={tmp_path}/run",
    ]
    assert train.main(["train.py", *flags, "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "prnet over small" in said
    assert "Evaluated, with the photos of second that count, 1 class: cat hairs" in said
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["dry_run.png"]
    assert train.main(["train.py", *flags, "--dry_run", "--config.fold=5"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: fold=5")
