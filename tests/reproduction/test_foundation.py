"""The table of foundation backbones: every name under every head, sound commands, and what was not run."""

from pathlib import Path

import pytest

from fsjax import cli, experiment
from fsjax.errors import InputError
from fsjax.models.backbones.named import NAMED
from fsjax.reproduction import Training, named, plan, reproduce, scale
from fsjax.reproduction.foundation import METHODS, NAME
from tests.reproduction.pretended import Programs

PAPER = scale("paper", "", (), "")
OWN = scale("own", "mydata", ("--config.model.weights=random", "--config.train.warmup=0"), "0,1")


def configured(job):
    begun = getattr(job, "training", job)
    config = cli.set_fields(cli.load_config(begun.config), begun.fields)
    return config if begun is job else cli.set_fields(config, job.fields)


def test_it_is_a_table_of_its_own():
    assert named("foundation") == ["foundation/table1"]
    assert NAME not in named("all")


@pytest.mark.parametrize("at", [PAPER, OWN], ids=lambda at: at.name)
def test_every_cell_s_command_is_sound(at, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    jobs = {job: place for place, cell in plan(NAME, at).cells.items() for job in cell.jobs}
    data_sets = {"coco20i", "pascal5i"} if at is PAPER else {"mydata"}
    assert len(jobs) == len(NAMED) * len(data_sets) * len(at.folds) * 2 * 2
    for job, (row, column) in jobs.items():
        if "large" in row or "giant" in row or "huge" in row:
            continue  # as the others, and slower
        config, name = configured(job), row.partition(",")[0]
        experiment.check_settings(config)
        assert config.model.backbone == NAMED[name].backbone
        assert config.model.weights == (name if at is PAPER else "random")
        assert config.model.backbone_options.get("registers", False) == NAMED[name].registers
        assert config.eval.size == (518 if "dinov2" in name else 512)
        assert config.model.name != "dpnet" or config.train.size == config.eval.size
        assert f"{config.eval.shots}-shot" in column
        assert config.data.name in data_sets
        assert isinstance(getattr(job, "training", job), Training) == (config.model.name == "dpnet")


def lines_of(text):
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return {tuple(line[:2]): line[3:] for line in lines if line[0] in NAMED and "this run" in line}


def test_one_s_own_data_head_the_table_by_their_name(tmp_path):
    at = scale("own", "mydata", (), "0,1", "dinov2-small")
    assert not reproduce([plan(NAME, at)], at, tmp_path / "w", Programs(tmp_path / "journal"))
    text, tex = ((tmp_path / f"w/tables/foundation_table1{end}").read_text() for end in (".md", ".tex"))
    heading = next(line for line in text.splitlines() if line.startswith("| Backbone"))
    assert [cell.strip() for cell in heading.strip("|").split("|")][2:] == [
        "Source", "mydata 1-shot", "mydata 5-shot",
    ]  # fmt: skip
    assert "On the data set mydata: not comparable" in text
    assert r"\multicolumn{2}{c}{mydata}" in tex
    for field in ("PASCAL-5i", "COCO-20i", "$5^i$", "One data set stands for"):
        assert field not in text + tex
    ours = lines_of(text)
    assert "not run" not in ours["dinov2-small", "DPNet"]


def test_what_was_run_has_numbers_and_all_else_says_not_run(tmp_path):
    def table(backbones):
        at = scale("paper", "", (), "0,1", backbones)
        assert not reproduce([plan(NAME, at)], at, tmp_path / "w", Programs(tmp_path / "journal"))
        return (tmp_path / "w/tables/foundation_table1.md").read_text()

    text = table("dinov2-small")
    ours = lines_of(text)
    assert list(ours) == [(name, method) for name in NAMED for method in METHODS]
    for (name, method), cells in ours.items():
        ran = name == "dinov2-small" and METHODS[method]
        assert [cell == "not run" for cell in cells] == [not ran] * 4
    assert "Over 2 of 4 folds." in text
    assert "DINOv3's under the DINOv3 License" in text
    assert "python eval.py --config=configs/prnet_dinov2_coco.py:fold=1 " in text
    assert "dinov3-base" not in text.partition("## Commands")[2]
    assert "Of the 4 folds only 0, 1." in text

    begun = (tmp_path / "journal").read_text().count("begun")
    again = lines_of(table("dinov3-base"))  # another in the same folder: the first one's numbers stay
    assert again["dinov2-small", "DPNet"] == ours["dinov2-small", "DPNet"]
    assert "not run" not in again["dinov3-base", "PRNet, + fusion"]
    assert (tmp_path / "journal").read_text().count("begun") == 2 * begun


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: scale("paper", "", (), "", "dinov2-tiny"), "--backbones holds 'dinov2-tiny': choose from "),
        (lambda: plan(NAME, scale("shapes", "", (), "")), "foundation is a table of photos: give --scale="),
        (
            lambda: plan(NAME, scale("paper", "", ("--config.model.backbone=vgg16",), "")),
            "model.backbone tells one row from another: leave it out, or give --backbones",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_sentence(make, sentence):
    with pytest.raises(InputError, match=f"^{sentence}"):
        make()
