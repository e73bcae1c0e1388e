"""--profile of the programs, and the program that prints what it leaves."""

import os
import re
import signal

import jax
import pytest

import eval as evaluation
import train
from fsjax import cli, profile, trace_files
from fsjax.training.curves import Curves
from tests.commands.own_photos import drawn, saved, segment, show
from tests.commands.programs import scores, start

pytestmark = pytest.mark.usefixtures("no_older_programs")

STEPS = (
    "--config.train.steps=15", "--config.train.checkpoint_every=15", "--config.eval.rows=fusion0",
    "--config.eval.runs=1", "--config.eval.episodes=1", "--config.eval.pictures=0",
)  # fmt: skip


def traced_in(folder):
    return trace_files.read(trace_files.newest(folder))


def test_a_training_is_traced_and_printed(place, capsys):
    command = f"--config={place}/mini.py", f"--workdir={place}/run", *STEPS
    assert start(train, *command, f"--profile={place}/run/profile") == 0
    found = traced_in(place / "run" / "profile")
    assert (found.kind, len(found.steps)) == ("training", 5)
    parts = {"backbone", "backbone, gradient", "loss", "loss, gradient", "optimizer"}
    assert parts <= {row.phase for row in found.rows}
    assert len((place / "run" / "metrics.jsonl").read_text().splitlines()) == 15
    capsys.readouterr()
    assert start(profile, f"{place}/run/profile", "--top=3") == 0
    said = capsys.readouterr().out.splitlines()
    assert re.match(r"5 steps of training, [\d.]+ ms each, ", said[1])
    assert len(said) == 2 + 1 + 4 + 1 + 4
    shares = [float(line.split()[-1].rstrip("%")) for line in said[-3:]]
    assert 100 >= shares[0] >= shares[1] >= shares[2] > 0


def test_sigterm_leaves_the_steps_before(place, monkeypatch):
    add = Curves.add

    def stop(self, step, *args, **more):
        add(self, step, *args, **more)
        if step == 13:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Curves, "add", stop)
    command = f"--config={place}/mini.py", f"--workdir={place}/run", *STEPS
    assert start(train, *command, f"--profile={place}/profile") == cli.PREEMPTED
    assert len(traced_in(place / "profile").steps) >= 2
    assert (place / "run" / "checkpoints" / "13").exists()


def test_an_evaluation_is_traced_and_finds_the_same(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    command = f"--workdir={trained}/run", f"--out={tmp_path}/out", "--config.eval.episodes=12"
    assert start(evaluation, *command) == 0
    plain = scores(tmp_path / "out")
    assert start(evaluation, *command, f"--profile={tmp_path}/profile") == 0
    assert scores(tmp_path / "out") == plain
    found = traced_in(tmp_path / "profile")
    assert (found.kind, len(found.steps)) == ("evaluation", 3)
    assert "head" in {row.phase for row in found.rows}  # photos may have been embedded before


def test_an_evaluation_that_is_too_short_is_written_and_says_so(trained, tmp_path, refusal):
    command = f"--workdir={trained}/run", f"--out={tmp_path}/out", f"--profile={tmp_path}/profile"
    assert "this evaluation was over before" in refusal(evaluation, *command)
    assert (tmp_path / "out" / "results.json").exists()


def test_a_prediction_is_traced(untrained, tmp_path):
    show(tmp_path / "shown")
    for number in range(5):
        saved(tmp_path / "photos" / f"{number}.png", drawn(number)[0])
    assert segment(tmp_path, f"--model={untrained}", f"--profile={tmp_path}/profile", "--batch=1") == 0
    found = traced_in(tmp_path / "profile")
    assert (found.kind, len(found.steps)) == ("prediction", 3)


@pytest.mark.parametrize(
    ("program", "flags", "said"),
    [
        (train, ("--workdir={o}/run",), "traces steps 11 to 15 of what is left, and 2 are left: "),
        (train, ("--workdir={o}/run", "--dry_run"), "--dry_run trains nothing that --profile could trace"),
        (evaluation, ("--dry_run",), "--profile traces an evaluation that segments photos"),
        (evaluation, ("--save_episodes={o}/e.jsonl",), "--profile traces an evaluation that segments photos"),
        (train, ("--workdir={o}/run", "--profile={w}/mini.py/in"), "mini.py/in cannot be written to"),
    ],
)
def test_what_cannot_be_traced_is_refused(trained, tmp_path, refusal, program, flags, said):
    flags = [flag.format(w=trained, o=tmp_path) for flag in (f"--profile={tmp_path}/profile", *flags)]
    assert said in refusal(program, f"--config={trained}/mini.py", *flags)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_cannot_be_printed_is_refused(tmp_path, refusal):
    assert "There is no trace in" in refusal(profile, tmp_path)
    assert "Name the folder of --profile" in refusal(profile)
    assert "--top is 'x': give the number of rows." in refusal(profile, tmp_path, "--top=x")
