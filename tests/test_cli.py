"""What all programs share: help, fields, configurations, and what is said of an error."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from fsjax import cli
from fsjax.config import TABLE, check, default
from fsjax.errors import InputError
from fsjax.models import backbones

ROOT = Path(__file__).parents[1]


@pytest.fixture
def write(tmp_path):
    """Writes a configuration's file, and returns where."""

    def written(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Runs a program that raises an error; returns the exit code and what it printed to standard error."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def ran(error, *arguments):
        def program(argv):
            assert argv == ["program", "--out=here"]
            raise error

        code = cli.run(program, ["program", *arguments, "--out=here"])
        return code, capsys.readouterr().err

    return ran


# Help


def test_help_names_every_flag_and_field(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.parse(["program", "--help"], "What it does.", {"out": "Where to."})
    assert not ended.value.code
    printed = capsys.readouterr().out
    options = {f"model.backbone_options.{name}" for table in backbones.OPTIONS.values() for name in table}
    assert printed.startswith("What it does.\n")
    assert "--out=...  Where to." in printed
    assert "--debug" in printed
    assert "each file in configs/ sets its own" in printed
    assert all(f"--config.{name}=" in printed for name in (*TABLE, *options))
    assert all(field.help.split()[0] in printed for field in TABLE.values())
    assert max(map(len, printed.splitlines())) <= 110


# Flags and fields


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--config.train.steps=7"], "train.steps", 7),
        (["--config.train.learning_rate=1"], "train.learning_rate", 1.0),
        (["--config.eval.rows=rgb,fusion2"], "eval.rows", ("rgb", "fusion2")),
        (["--config.data.train_list=a=b"], "data.train_list", "a=b"),
        (["--config.seed=1", "--config.seed=2"], "seed", 2),
        (["--config.model.backbone_options.stages=3"], "model.backbone_options.stages", 3),
        (
            ["--config.model.backbone_options.widths=8,16", "--config.model.backbone=small"],
            "model.backbone_options.widths",
            (8, 16),
        ),
    ],
)
def test_fields_are_set(arguments, field, value):
    config = cli.set_fields(default(), arguments)
    check(config)
    for name in field.split("."):
        config = config[name]
    assert config == value
    assert type(config) is type(value)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("train.lerning_rate=1", "no field train.lerning_rate: did you mean train.learning_rate?"),
        ("shots=5", "no field shots: did you mean"),
        ("train.steps=abc", "train.steps is 'abc': give a whole number from 0 to 1,000,000,000."),
        ("train.steps=-5", "train.steps is -5: give a whole number from 0"),
        ("train.flip=perhaps", "train.flip is 'perhaps': give True or False."),
        ("train=3", "train is a section of fields, not a value: set those in it, as --config.train.ways="),
        ("model.backbone_options=3", "model.backbone_options is a section of fields"),
        ("model.backbone_options.stages=5", "model.backbone_options.stages is 5: give a whole number"),
        ("model.backbone_options.stagse=3", "did you mean model.backbone_options.stages?"),
        ("model.backbone_options.widths=8", "no field model.backbone_options.widths"),
        ("train.steps.more=3", "no field train.steps.more"),
    ],
)
def test_a_field_that_cannot_be_set_is_named(argument, sentence):
    with pytest.raises(InputError) as refusal:
        cli.set_fields(default(), [f"--config.{argument}"])
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--config.train.steps", "--config.train.steps has no value: write --config.train.steps=value."),
        ("--otu=here", "There is no flag --otu: did you mean --out?"),
        ("--steps=3", "There is no flag --steps."),
        ("steps=3", "'steps=3' is not a flag: write --name=value."),
        ("--out", "Missing value for flag --out: write --name=value."),
    ],
)
def test_a_flag_that_cannot_be_read_is_named(argument, sentence):
    with pytest.raises(InputError) as refusal:
        cli.parse(["program", argument], "", {"out": ""})
    assert str(refusal.value) == sentence


# Configurations


@pytest.mark.parametrize("name", ["configs/nothing.py", "nothing.py", "configs/prnet_shapes", "README.md"])
def test_an_unknown_configuration_lists_those_there_are(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError) as refusal:
        cli.load_config(name)
    start = f"There is no configuration {name}: choose from configs/dpnet_animals.py"
    assert str(refusal.value).startswith(start)
    assert "configs/prnet_shapes.py" in str(refusal.value)


def test_an_unknown_configuration_lists_its_neighbours(write):
    there = write("def get_config():\n    pass\n")
    with pytest.raises(InputError, match=f"choose from {there}\\.$"):
        cli.load_config(there.with_name("other.py"))


BEGIN = "from fsjax.config import default\ndef get_config(argument=''):\n    config = default()\n    "


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def get_config(:", "SyntaxError"),
        ("import nothing_of_the_kind", "in line 1, ModuleNotFoundError"),
        ("def get_config(argument=''):\n    return 1 / 0", "in line 2, ZeroDivisionError: division by zero"),
        ("", "no attribute 'get_config'"),
        ("get_config = 3", "'int' object is not callable"),
        ("def get_config(argument=''):\n    return {}", "its get_config returns dict"),
        (BEGIN + "config.trian.steps = 3\n    return config", "in line 4, AttributeError"),
        (BEGIN + "config.train.stepz = 3\n    return config", "did you mean train.steps?"),
        (BEGIN + "config.train = 3\n    return config", "in line 4, TypeError"),
        (BEGIN + "config.train.steps = 'many'\n    return config", "in line 4, TypeError"),
        (
            BEGIN + "config.train = None\n    return config",
            "train is None, where a section of",
        ),
        ("from ml_collections import ConfigDict as get_config", "lacks the field seed"),
        ("\0", "null bytes"),
    ],
)
@pytest.mark.parametrize("argument", ["", ":fold=1"])
def test_a_broken_configuration_is_told_in_one_sentence(text, sentence, argument, write):
    path = write(text)
    with pytest.raises(InputError) as refusal:
        cli.load_config(f"{path}{argument if text.startswith(BEGIN) else ''}")
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("argument", ["shot=5", "fold", "fold=-1", "fold=x", "shots=1.5"])
def test_what_follows_the_colon_must_be_known(argument):
    with pytest.raises(
        InputError, match=f"^'{argument}' behind the configuration's colon is unknown: write "
    ):
        cli.load_config(f"{ROOT}/configs/prnet_shapes.py:seed=3,{argument}")


def test_a_runs_folder():
    config = ConfigDict({"model": {"name": "dpnet"}, "data": {"name": "shapes"}, "fold": 2})
    assert cli.run_folder(config) == Path("runs/dpnet_shapes_fold2")


# Errors and exit codes


def test_a_program_that_ends_well_returns_0(capsys):
    assert cli.run(lambda argv: None, ["program"]) == 0
    assert "error" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", [InputError, FloatingPointError])
def test_a_users_mistake_is_one_sentence(kind, run):
    assert run(kind("Do that.")) == (2, "error: Do that.\n")


def test_what_the_system_refuses_is_told_apart(run, tmp_path):
    advice = "make room or name another place"
    with pytest.raises(OSError, match="No such") as missing:
        (tmp_path / "missing").read_text()
    assert run(missing.value) == (
        2,
        f"error: The system refused {tmp_path}/missing: No such file or directory: {advice}.\n",
    )
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert run(full) == (2, f"error: The system refused: No space left on device: {advice}.\n")
    assert run(OSError("odd")) == (2, f"error: The system refused: odd: {advice}.\n")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory")])
def test_exhausted_memory_is_no_bug(error, run):
    assert run(error) == (2, "error: Memory is exhausted: lower batch sizes or the sizes of images.\n")


def test_a_bug_says_so_and_keeps_its_traceback(run, tmp_path):
    code, printed = run(KeyError("colour"))
    (log,) = tmp_path.glob("fsjax_*.log")
    assert code == 1
    assert printed == (
        f"error: This is a bug in fsjax (KeyError): please report it with its traceback, which is in {log}.\n"
    )
    assert "Traceback" in log.read_text()
    assert "KeyError: 'colour'" in log.read_text()


def test_a_bug_is_shown_where_its_traceback_cannot_be_kept(run, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    code, printed = run(KeyError("colour"))
    assert code == 1
    assert "KeyError: 'colour'\n" in printed
    assert printed.endswith("please report it with its traceback, which stands above.\n")


@pytest.mark.parametrize(("error", "code"), [(InputError("Do that."), 2), (KeyError("colour"), 1)])
def test_debug_shows_the_traceback(error, code, run):
    found, printed = run(error, "--debug")
    assert found == code
    assert printed.startswith("Traceback")
    assert printed.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in run(error)[1]


def test_a_leading_tilde_is_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    values, _ = cli.parse(["program", "--out=~/found", "--model=a~b"], "", {"out": "", "model": ""})
    assert (values.out, values.model) == (f"{tmp_path}/found", "a~b")


def test_an_argument_that_is_not_in_utf8_is_refused():
    with pytest.raises(
        InputError, match=r"The argument '--out=\\udcff' is not in UTF-8: rename what it names"
    ):
        cli.parse(["program", "--out=\udcff"], "", {"out": ""})


def test_an_interruption_says_how_to_go_on(run):
    code, printed = run(KeyboardInterrupt())
    assert code == 130
    assert "from its last checkpoint, if it has one, when the same command is started again" in printed


def test_a_reader_that_has_enough_is_no_error():
    """Also of what is less than a buffer holds, and is written when the program ends."""
    reading, writing = os.pipe()
    os.close(reading)
    program = "from fsjax import cli; raise SystemExit(cli.run(lambda argv: print('x' * 100)))"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, env=environment
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
