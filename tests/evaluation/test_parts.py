"""What an evaluation has finished is kept on disk, and what is not sound of it does not count."""

import json
import os
import signal
from contextlib import contextmanager
from dataclasses import replace

import pytest

from fsjax import preemption
from fsjax.errors import InputError
from fsjax.evaluation.adapted import evaluate_adapted
from fsjax.evaluation.evaluate import evaluate
from fsjax.evaluation.parts import Finished, Parts
from fsjax.evaluation.scoring import Scoring
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.fusion import FusionSettings
from tests.evaluation.episodes import assert_same, drawn, photos, prnet
from tests.evaluation.spied import once, query_photos, support_photos
from tests.evaluation.together import ALONE, together

DIGEST, OTHER = "a1" * 32, "b2" * 32
RESULTS = {(3,): [[1, 2], [3, 4]], (4, 7): {"fusion2": [5]}, (5,): "six"}


class Killed(BaseException):
    """In place of the signal."""


@pytest.fixture
def parts(tmp_path):
    return Parts(tmp_path / "parts", DIGEST)


def kept(parts, results, process=0):
    finished = parts.of("a pass", process)
    for result in results.items():
        finished.add([result])
    finished.all(ALONE)
    return finished


def found(parts, what="a pass", process=0):
    return parts.of(what, process).all(ALONE)


def the_file(tmp_path):
    (path,) = (tmp_path / "parts").glob("*.jsonl")
    return path


def test_what_was_kept_is_found_again_by_its_own_pass_and_evaluation_alone(parts, tmp_path):
    assert found(parts) == {}
    assert not (tmp_path / "parts").exists()
    kept(parts, dict([*RESULTS.items()][:2]))
    kept(parts, dict([*RESULTS.items()][2:]), process=1)
    assert found(parts) == found(parts, process=5) == RESULTS
    assert found(parts, "another pass") == found(Parts(tmp_path / "parts", OTHER)) == {}
    parts.clear()
    assert not (tmp_path / "parts").exists()
    parts.clear()


def test_only_parts_of_other_evaluations_are_cleared(parts, tmp_path):
    kept(parts, RESULTS)
    other = Parts(tmp_path / "parts", OTHER)
    kept(other, RESULTS)
    parts.clear_others()
    assert found(parts) == RESULTS
    assert found(other) == {}


def test_of_a_file_that_is_cut_off_anywhere_the_whole_lines_count(parts, tmp_path):
    kept(parts, RESULTS)
    path = the_file(tmp_path)
    whole = path.read_bytes()
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        lines = sum(length >= end for end in ends)
        assert found(parts) == dict([*RESULTS.items()][:lines])


def test_a_changed_byte_costs_its_own_line_alone(parts, tmp_path):
    kept(parts, RESULTS)
    path = the_file(tmp_path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        sound = found(parts)
        assert sound.items() <= RESULTS.items()
        assert len(sound) >= len(RESULTS) - 2  # two where a line's end has gone


def test_a_line_of_another_evaluation_does_not_count_under_this_ones_name(parts, tmp_path):
    kept(Parts(tmp_path / "other", OTHER), RESULTS)
    (line,) = (tmp_path / "other").iterdir()
    kept(parts, {(1,): 1})
    the_file(tmp_path).write_bytes(line.read_bytes())
    assert found(parts) == {}


def test_seconds_of_earlier_runs_are_added_up(parts, tmp_path):
    assert kept(parts, RESULTS).seconds == 0
    kept(parts, {(9,): 1})
    kept(parts, {(10,): 1}, process=1)
    spent = sorted(
        json.loads(path.read_text().splitlines()[-1].split(" ", 1)[1])[-1]
        for path in (tmp_path / "parts").iterdir()
        if "-0-" in path.name
    )
    assert len(spent) == 2
    assert parts.of("a pass", 0).seconds == pytest.approx(sum(spent))


def test_a_full_disk_ends_in_a_sentence_and_costs_nothing_that_was_kept(parts, tmp_path):
    kept(parts, RESULTS)
    finished = parts.of("a pass", 0)
    finished.add([((10,), 1)])
    (mine,) = [path for path in (tmp_path / "parts").iterdir() if path.read_bytes().count(b"\n") == 1]
    mine.unlink()
    mine.symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"parts cannot be written to \(No space left on device\): .*\.$"):
        finished.add([((11,), 1)])
    mine.unlink()
    assert found(parts) == RESULTS


def test_a_pipe_in_place_of_a_file_is_not_waited_for(parts, tmp_path):
    kept(parts, RESULTS)
    path = the_file(tmp_path)
    path.unlink()
    os.mkfifo(path)
    assert found(parts) == {}


class Dying:
    """An object in whose end the signal arrives, so that Python drops what the handler raises."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_was_lost_ends_it_after_the_next_unit(parts):
    with preemption.heard():
        finished = parts.of("a pass", 0)
        finished.add([((3,), RESULTS[(3,)])])
        Dying()
        with pytest.raises(preemption.Preempted):
            finished.add([((5,), RESULTS[(5,)])])
    assert found(parts).keys() == {(3,), (5,)}


def test_processes_that_see_other_files_agree_on_what_is_finished(tmp_path):
    shared, own = Parts(tmp_path / "a", DIGEST), Parts(tmp_path / "b", DIGEST)
    kept(shared, {(1,): "one", (2,): "two"})
    kept(own, {(2,): "two", (3,): "three"})

    def agreed(team):
        finished = (shared, own)[team.index].of("a pass", team.index)
        return finished.agree(team), finished.all(team)

    for done, everything in together(2, agreed):
        assert done == {(1,), (2,), (3,)}
        assert everything == {(1,): "one", (2,): "two", (3,): "three"}


@contextmanager
def killed(after, monkeypatch):
    """The pass in the block is killed when it has kept something so many times."""
    add, calls = Finished.add, []

    def counting(self, results):
        if len(calls) == after:
            raise Killed
        calls.append(1)
        add(self, results)

    with monkeypatch.context() as patch:
        patch.setattr(Finished, "add", counting)
        with pytest.raises(Killed):
            yield


def test_an_evaluation_that_is_killed_goes_on_to_the_same_counts(parts, monkeypatch):
    specs = drawn(30, classes=(1, 2, 3, 4, 5, 6))
    scorings = [
        Scoring(prnet(), specs, ("fusion0", "fusion2")),
        Scoring(None, specs, ("any_object",)),
        Scoring(prnet(), specs, ("fusion0",), oracle=True),
    ]
    read = replace(photos(), memory=0)
    whole = evaluate(read, scorings, team=ALONE)
    batches = -(-len(query_photos(specs)) // read.slots)
    assert batches > 2
    for after in (0, batches - 1):
        with killed(after, monkeypatch):
            evaluate(read, scorings, finished=parts.of("a pass", 0), team=ALONE)
        done = {unit for units in found(parts) for unit in units}
        assert bool(done) == bool(after)
        counted = evaluate(read, scorings, finished=parts.of("a pass", 0), team=ALONE)
        for counts, expected, scoring in zip(counted.counts, whole.counts, scorings, strict=True):
            assert_same(counts, expected, scoring.outputs)
        assert counted.contents == whole.contents
        left = [spec for spec in specs if spec.query[0] not in done]
        again = once(query_photos(left), "query") + once(support_photos(left), "support")
        assert counted.extracted == again
        parts.clear()


def test_adapted_episodes_go_on_too_with_other_processes(parts, monkeypatch):
    specs, adapt = drawn(11), AdaptSettings(steps=1, learning_rate=0.05)
    asked = {"variants": {"later": FusionSettings(threshold_over="predicted")}, "curve": True}

    def count(team):
        finished = parts.of("adapted", team.index)
        return evaluate_adapted(photos(), prnet(), specs, adapt, **asked, finished=finished, team=team)

    whole = evaluate_adapted(photos(), prnet(), specs, adapt, **asked, team=ALONE)
    with killed(1, monkeypatch):
        count(ALONE)
    assert 0 < len(found(parts, "adapted")) < len(specs)
    for counted in together(2, count):
        for moment, expected in zip(counted, whole, strict=True):
            assert_same(moment, expected, expected)
