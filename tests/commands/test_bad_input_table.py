"""Bad input of every kind: one sentence that a user can act on, exit code 2, and nothing written."""

import pytest

import eval as evaluation
from benchmarks.damaged_data import weights
from tests.commands.bad_input import CASES
from tests.commands.conftest import write_folder
from tests.commands.programs import files, start
from tests.evaluation.test_results import row, write
from tests.runs import prnet_config
from tests.training.test_release import saved

CACHED = ".claimed", "class_index_"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A data set with its configuration, a run, weights and episodes, which no case may change."""
    root = write_folder(tmp_path_factory.mktemp("world"))
    saved(root / "untrained", prnet_config())
    (root / "good").mkdir()
    weights(root / "good", ending=".npz")
    assert start(evaluation, f"--config={root}/mini.py", f"--save_episodes={root}/episodes.jsonl") == 0
    write(root / "results", {"a": row([9, 2])})
    return root


@pytest.mark.parametrize("kind", CASES)
def test_a_sentence_says_what_to_do_and_nothing_is_written(kind, world, tmp_path, refusal, monkeypatch):
    program, *arguments, make, sentence = CASES[kind]
    monkeypatch.chdir(tmp_path)
    place, out = tmp_path / "t", tmp_path / "out"
    place.mkdir()
    if make:
        make(world, place)
    before = kept(world), kept(place)
    said = refusal(program, *(text.format(w=world, t=place, o=out) for text in arguments))
    assert sentence.format(w=world, t=place) in said
    assert kept(out) == {}
    assert (kept(world), kept(place)) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"t", "out"}


def kept(folder):
    """The contents of all files below a folder, but for marks of work there, and what can be made anew."""
    return {path: made for path, made in files(folder).items() if not path.name.startswith(CACHED)}
