"""Every field with every kind of wrong value: one sentence, exit code 2, nothing loaded, nothing written."""

import pytest

import ablate
import datasets
import eval as evaluation
import train
from fsjax import cli
from fsjax.config import TABLE
from fsjax.models import backbones
from tests.commands.programs import start
from tests.config.changed import changed
from tests.config.test_checking import bad_values

PROGRAMS = {train: "--workdir=run", evaluation: "--out=out", ablate: "--out=out"}
"""They check a configuration by the same function, so that each takes only its share of the wrong values."""

OPTIONS = {
    (backbone, f"model.backbone_options.{name}"): field
    for backbone, fields in backbones.OPTIONS.items()
    for name, field in fields.items()
}


@pytest.fixture(autouse=True)
def nothing_is_done(monkeypatch, tmp_path):
    """Programs begin in an empty folder, and no data set may be opened."""

    def opened(*arguments):
        raise AssertionError("the data were opened")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load", opened)
    yield
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def sentence(capsys):
    """Starts a program that must refuse; returns all that it says."""

    def said(program, *arguments):
        assert start(program, *arguments) == 2, arguments
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("error: ")
        assert printed.err.count("\n") == 1, printed.err
        return printed.err.removeprefix("error: ").strip()

    return said


def texts(field):
    """What a command line may wrongly say of a field."""
    numbers = ["nan", "inf", "-inf", "1e999", str(2**32), str(-(2**32)), "--5", "1,2", "many", ""]
    match field.default:
        case bool():
            yield from ["0", "perhaps", "nan", ""]
        case str():
            wrong = {"nothing of the kind", "nan", ""} if field.choices else {""} if field.least else set()
            yield from wrong - set(field.choices)
        case tuple():
            yield from ["''", "("] if field.each.default == () else []
            yield from (
                ["nan", "inf", str(-(2**32)), "many"] if type(field.each.default) in (int, float) else []
            )
        case _:
            yield from numbers
            outside = [bound for bound in (field.above, field.below) if bound is not None]
            outside += [] if field.low is None else [field.low - type(field.default)(1)]
            outside += [] if field.high is None else [field.high + type(field.default)(1)]
            yield from map(str, outside)


def share(values, program):
    """Every third of some values, all programs together all of them."""
    return values[list(PROGRAMS).index(program) :: len(PROGRAMS)]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_what_a_command_line_may_not_say(program, sentence):
    wrong = [(name, text) for name, field in TABLE.items() for text in texts(field)]
    for name, text in share(wrong, program):
        said = sentence(program, PROGRAMS[program], f"--config.{name}={text}")
        assert said.startswith((f"{name} is ", f"--config.{name} has no value")), said
        assert said.endswith(".")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_what_a_configuration_may_not_hold(program, sentence, monkeypatch):
    wrong = [(name, value) for name, field in TABLE.items() for value in bad_values(field)]
    for name, value in share(wrong, program):
        monkeypatch.setattr(cli.configs, "load_config", lambda place, n=name, v=value: changed({n: v}))
        said = sentence(program, PROGRAMS[program])
        assert said.startswith(f"{name} is {value!r}: give "), said


@pytest.mark.parametrize(("backbone", "name"), OPTIONS, ids=lambda part: part.rpartition(".")[2])
def test_what_a_backbones_options_may_not_be(backbone, name, sentence, monkeypatch):
    field = OPTIONS[backbone, name]
    for program, out in PROGRAMS.items():
        for text in share(list(texts(field)), program):
            said = sentence(program, out, f"--config.model.backbone={backbone}", f"--config.{name}={text}")
            assert said.startswith(f"{name} is "), said
        for value in share(list(bad_values(field)), program):
            config = changed({"model.backbone": backbone, name: value})
            with monkeypatch.context() as patch:
                patch.setattr(cli.configs, "load_config", lambda place, config=config: config)
                said = sentence(program, out)
            assert said.startswith(f"{name} is {value!r}: give "), said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config.train=3"], "train is a section of fields, not a value: set those in it"),
        (["--config.eval.fusion=m3"], "eval.fusion is a section of fields"),
        (["--config.model.backbone_options={'stages': 2}"], "model.backbone_options is a section of fields"),
        (["--config.train.lerning_rate=1"], "no field train.lerning_rate: did you mean train.learning_rate?"),
        (["--config.shots=5"], "no field shots: did you mean"),
        (["--config.eval.fusion.omega=1"], "no field eval.fusion.omega: did you mean eval.fusion.omega_"),
        (["--config.model.backbone_options.stage=3"], "no field model.backbone_options.stage"),
        (["--config.model.backbone=vgg"], "model.backbone is 'vgg': choose one of resnet50, resnet101, vg"),
        (
            ["--config.model.backbone=vgg16", "--config.eval.adapt.parameters=norm_affine"],
            "eval.adapt.parameters is norm_affine, and this backbone has no normalisation: set it to all or",
        ),
        (
            [
                "--config.model.backbone=vgg16", "--config.model.backbone_options.width=8",
                "--config.model.weights=imagenet",
            ],
            "model.weights is imagenet, whose VGG-16 has a width of 64",
        ),
        (["--config.eval.rows=fusion0,fusion9"], "eval.rows holds 'fusion9': choose from fusion0"),
        (["--config.eval.rows=master"], "eval.rows holds 'master': choose from fusion0"),
        (["--config.eval.rows=rgb,rgb"], "eval.rows is"),
        (["--config.eval.scales=0.7"], "let 1.0 be one of them"),
        (["--config.train.warmup=1500"], "train.warmup is 1500 and takes 1500 of 1500 steps"),
        (["--config.train.epochs=3"], "train.epochs is 3"),
        (["--config.train.cached_features=True"], "train.cached_features is True"),
        (["--config.train.steps"], "--config.train.steps has no value: write --config.train.steps=value."),
        (["--config=nowhere.py"], "There is no configuration nowhere.py: choose from "),
        (["--config=nowhere.py"], "prnet_shapes.py"),
        (["--config={configs}/prnet_shapes.py:shot=5"], "'shot=5' behind the configuration's colon"),
        (["--wrkdir=runs"], "There is no flag --wrkdir"),
        (["--qq=3"], "There is no flag --qq."),
        (["steps=3"], "'steps=3' is not a flag: write --name=value."),
        (["--config"], "Missing value for flag --config: write --name=value."),
    ],
)  # fmt: skip
def test_what_is_no_field_or_does_not_fit(arguments, said, sentence):
    filled = [argument.format(configs=train.CONFIG.parent) if "{configs}" in argument else argument
              for argument in arguments]  # fmt: skip
    for program in (train, evaluation):
        assert said in sentence(program, PROGRAMS[program], *filled)


BEGIN = "from fsjax.config import default\ndef get_config():\n    config = default()\n    "
BROKEN = {
    "def get_config(:": "SyntaxError",
    "import nothing_of_the_kind": "in line 1, ModuleNotFoundError",
    "def get_config():\n    return 1 / 0": "in line 2, ZeroDivisionError: division by zero",
    "get_config = 3": "not callable",
    "def get_config():\n    return {}": "its get_config returns dict",
    BEGIN + "config.train.stepz = 3\n    return config": "no field train.stepz: did you mean train.steps?",
    BEGIN
    + "config.train.steps = 0\n    return config": "trains nothing, train.steps being 0: give it to eval",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_configuration_is_refused(text, sentence, tmp_path_factory):
    path = tmp_path_factory.mktemp("broken") / "broken.py"
    path.write_text(text)
    said = sentence(train, f"--config={path}", "--workdir=run")
    assert BROKEN[text] in said
    assert str(path) in said or "train.stepz" in said


def test_a_configuration_that_is_for_eval_alone_says_so(sentence):
    for name in ("prnet_animals", "prnet_shapes"):
        arguments = [f"--config={train.CONFIG.parent}/{name}.py", "--config.train.steps=0"]
        assert "give it to eval.py" in sentence(train, *arguments)


def test_an_ablation_is_dpnets(sentence):
    config = f"--config={train.CONFIG}"
    assert "The ablation is DPNet's" in sentence(ablate, "--out=out", config)
    no_auxiliary = [
        "--config.model.dpnet.auxiliary=False", "--config.model.dpnet.lambda1=0", "--config.eval.rows=master",
    ]  # fmt: skip
    assert "with its auxiliary branch" in sentence(ablate, "--out=out", *no_auxiliary)
    assert "There is no flag --table" in sentence(ablate, "--table=all")
