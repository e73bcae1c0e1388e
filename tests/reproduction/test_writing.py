"""Tables and figures say what the results of a sweep hold, and what is missing."""

import json

import numpy as np
import pytest

from fsjax.errors import InputError
from fsjax.evaluation.pictures import figures
from fsjax.reproduction import plan, read_curves, reproduce, scale
from fsjax.reproduction.findings import losses
from tests.reproduction.pretended import Programs, hit_of, leave_results

FOLDS = scale("shapes", "", (), "0,1")
WHOLE = scale("shapes", "", (), "")
TABLE = plan("prnet/table1", WHOLE)
FOUR = "--config.data.fold_count=4"


def made(tmp_path, names, at=WHOLE):
    plans = [plan(name, at) for name in names]
    assert not reproduce(plans, at, tmp_path, Programs(tmp_path.with_name("journal")))
    return tmp_path / "tables"


def mark(workdir):
    """Makes a folder that of a sweep at FOLDS, of no table yet."""
    fields = {method: list(FOLDS.fields[method]) for method in ("prnet", "dpnet")}
    stored = {"scale": "shapes", "fields": fields, "folds": [0, 1], "given": [], "tables": []}
    (workdir / "sweep.json").write_text(json.dumps(stored))


def lines_of(text, source):
    """The numbers of the lines of a source, "this run" and so on."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    found = [line[line.index(source) + 1 :] for line in lines if source in line]
    return [line for line in found if "std over runs" not in line]


def iou(job, row, tmp_path, *, void="ignore"):
    """The IoU of what `leave_results` left, worked out from its pixels."""
    hit = hit_of(job.argv(tmp_path), row)
    wrong = 10 if void == "background" else 0
    return 100 * hit / (100 + wrong)


def test_a_table_holds_every_fold_and_its_mean(tmp_path):
    text = (made(tmp_path / "w", ["prnet/table1"]) / "prnet_table1.md").read_text()
    (ours,) = lines_of(text, "this run")
    for shots, cells in ((1, ours[:5]), (5, ours[5:])):
        jobs = [TABLE.cells["prnet", f"{shots}-shot/fold-{fold}"].jobs[0] for fold in (1, 2, 3, 4)]
        values = [iou(job, "fusion2_adapt5", tmp_path / "w") for job in jobs]
        assert [float(cell.split()[0]) for cell in cells] == pytest.approx(
            [*values, np.mean(values)], abs=0.006
        )
    assert (
        "**On the embedded benchmark, 300 steps of PRNet: not comparable with the paper's numbers.**" in text
    )
    assert "**4 different trainings, 4 further evaluations.**" in text
    assert "On 1 of 2 episodes, the first of each run." in text
    assert all(cell.endswith("]") for cell in ours)  # the note is the means', too
    intervals = text.partition("## This run, with intervals")[2]
    assert "| 1-shot/Mean " in intervals
    assert " to " in intervals.partition("| 1-shot/Mean ")[2].splitlines()[0]
    assert "python train.py --config=configs/prnet_shapes.py:fold=0 " in text
    assert not lines_of(text, "difference")


def test_missing_folds_are_not_run_and_have_no_mean(tmp_path):
    text = (made(tmp_path / "w", ["dpnet/table3"], FOLDS) / "dpnet_table3.md").read_text()
    assert "**On the embedded benchmark, 200 steps of DPNet over 300 steps of PRNet: not comparable" in text
    ours = lines_of(text, "this run")
    assert len(ours) == 4
    for line in ours:
        assert line[2:] == ["not run"] * 3
        assert "not run" not in line[:2]


def test_both_metrics_of_dpnet_come_from_one_evaluation(tmp_path):
    text = (made(tmp_path / "w", ["dpnet/table1"], FOLDS) / "dpnet_table1.md").read_text()
    table = plan("dpnet/table1", FOLDS)
    for line, row, void in zip(
        lines_of(text, "this run"), ("dpnet canet", "dpnet pfenet"), ("background", "ignore"), strict=True
    ):
        (job,) = table.cells[row, "1-shot/Fold0"].jobs
        assert float(line[0]) == pytest.approx(iou(job, "master", tmp_path / "w", void=void), abs=0.06)
        assert line[-1] == "42.5M"  # of a ResNet-101, which the pretended configuration names


def test_cells_over_folds_are_their_mean(tmp_path):
    text = (made(tmp_path / "w", ["prnet/table4"], FOLDS) / "prnet_table4.md").read_text()
    (line,) = lines_of(text, "this run")
    hits = [
        hit_of(job.argv(tmp_path / "w"), "fusion2_adapt5")
        for job in plan("prnet/table4", FOLDS).cells["prnet", "1-shot"].jobs
    ]
    binary = [50 * (hit / 100 + 100 / (100 + 100 - hit)) for hit in hits]
    assert float(line[0].split()[0]) == pytest.approx(np.mean(binary), abs=0.006)
    assert "**Of the 4 folds only 0, 1.**" in text
    assert "Over 2 of 4 folds." in text


def test_ones_own_data_have_as_many_folds_as_are_asked_for(tmp_path):
    at = scale("own", "mine", (), "0,1")
    tables = made(tmp_path / "w", ["prnet/table1", "prnet/table4"], at)
    first, fourth = ((tables / f"prnet_table{n}.md").read_text() for n in (1, 4))
    (ours,) = lines_of(first, "this run")
    assert ours[2:4] == ["not run"] * 2
    one, two, mean = (float(ours[place].split()[0]) for place in (0, 1, 4))
    assert mean == pytest.approx((one + two) / 2, abs=0.01)
    assert "folds" not in first.partition("| Methods")[0].replace("fold by fold", "")
    assert "Over 2 of" not in fourth
    more = made(tmp_path / "more", ["prnet/table4"], scale("own", "mine", (FOUR,), "0,1"))
    assert "**Of the 4 folds only 0, 1.**" in (more / "prnet_table4.md").read_text()


def test_a_mean_over_few_folds_has_no_difference(tmp_path):
    few, whole = scale("paper", "", (), "2"), scale("paper", "", (), "")
    text = (made(tmp_path / "few", ["prnet/table4"], few) / "prnet_table4.md").read_text()
    assert [cell for line in lines_of(text, "difference") for cell in line if cell] == []
    text = (made(tmp_path / "whole", ["prnet/table4"], whole) / "prnet_table4.md").read_text()
    (difference,), (ours,) = lines_of(text, "difference"), lines_of(text, "this run")
    printed = 68.79, 73.40
    for cell, own, paper in zip(difference, ours, printed, strict=True):
        assert float(cell) == pytest.approx(float(own.split()[0]) - paper)


def test_what_must_be_said_of_scores_is_said_in_tables_and_figures(tmp_path):
    workdir, plans = tmp_path / "w", [plan(name, FOLDS) for name in ("prnet/table1", "prnet/figure3")]
    for job in plans[1].jobs:
        leave_results(job.folder(workdir), job.argv(workdir), selected=("cat",))
    mark(workdir)
    tables = made(workdir, [one.name for one in plans], FOLDS)
    said = "selected on the tested classes"
    assert said in (tables / "prnet_table1.md").read_text().lower()
    assert said in " ".join((tables / "prnet_figure3.svg").read_text().lower().split())


def test_cells_that_are_the_same_evaluations_are_told(tmp_path):
    tables = made(tmp_path / "w", ["prnet/table1", "prnet/table2", "dpnet/table1"], FOLDS)
    one = "One data set stands for all of the paper's"
    assert [one in (tables / f"{name}.md").read_text() for name in ("prnet_table1", "prnet_table2")] == [0, 1]
    assert one not in (tables / "dpnet_table1.md").read_text()


def test_results_of_several_versions_are_told(tmp_path):
    workdir, figure = tmp_path / "w", plan("prnet/figure3", FOLDS)
    for job, version in zip(figure.jobs, ("1", "2"), strict=True):
        leave_results(job.folder(workdir), job.argv(workdir), version=version)
    mark(workdir)
    text = (made(workdir, ["prnet/figure3", "prnet/table1"], FOLDS) / "prnet_table1.md").read_text()
    assert "**On several versions of toy: 1, 2.**" in text


def test_fields_of_ones_own_are_told(tmp_path):
    at = scale("shapes", "", ("--config.train.select=novel_fold",), "0")
    text = (made(tmp_path / "w", ["prnet/table1"], at) / "prnet_table1.md").read_text()
    assert "with --config.train.select=novel_fold: not comparable with the paper's numbers." in text


def test_curves_have_a_point_for_every_step(tmp_path):
    tables = made(tmp_path / "w", ["prnet/figure2", "dpnet/figure5"], FOLDS)
    panels = read_curves(tables / "prnet_figure2.csv")
    assert list(panels) == ["fusion 0", "fusion 1", "fusion 2"]
    for curves in panels.values():
        assert list(curves) == ["fold-1", "fold-2", "mean"]
        assert all([point.x for point in points] == list(range(11)) for points in curves.values())
        for one, two, mean in zip(*curves.values(), strict=True):
            assert mean.y == pytest.approx((one.y + two.y) / 2)
    betas = read_curves(tables / "dpnet_figure5.csv")["COCO-20i"]["Fold1"]
    assert [point.x for point in betas] == pytest.approx(np.arange(9) / 10)
    assert (tables / "dpnet_figure5.svg").read_text().startswith("<?xml")


def test_trainings_say_whether_their_loss_fell(tmp_path):
    workdir = tmp_path / "w"
    jobs = list(plan("prnet/figure3", FOLDS).jobs)
    for job, values in zip(jobs, ([2.0, 1.0], [1.0, 2.0]), strict=True):
        leave_results(job.folder(workdir), job.argv(workdir))
        lines = [json.dumps({"step": i, "loss": loss}) for i, loss in enumerate(values, start=1)]
        (job.folder(workdir) / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    mark(workdir)
    text = (made(workdir, ["prnet/figure3"], FOLDS) / "trainings.md").read_text()
    assert "| PRNet shapes fold 0 | 2 | 2.000 | 1.000 | fell | prnet/figure3 |" in text
    assert "| PRNet shapes fold 1 | 2 | 1.000 | 2.000 | DID NOT FALL | prnet/figure3 |" in text
    assert losses([{"loss": value} for value in range(30, 0, -1)]) == (29, 2)


def test_sheets_are_copied_with_what_is_on_them(tmp_path):
    workdir = tmp_path / "w"
    (job,) = plan("dpnet/figure4", FOLDS).jobs
    leave_results(job.folder(workdir), job.argv(workdir))
    figure, _ = figures.grid(["a"], ["b"])
    figures.save(figure, job.folder(workdir) / "branches.png")
    mark(workdir)
    tables = made(workdir, ["dpnet/figure4"], FOLDS)
    drawn = (job.folder(workdir) / "branches.png").read_bytes()
    assert (tables / "dpnet_figure4.png").read_bytes() == drawn
    head, line = (tables / "dpnet_figure4.csv").read_text().splitlines()
    assert head.startswith("chosen as,run,episode,class,query,supports,IoU of fusion0,")
    assert line.startswith("best,0,0,cat,q0,s,")
    column = head.split(",").index("IoU of master")
    assert float(line.split(",")[column]) == pytest.approx(iou(job, "master", workdir), abs=0.06)


def test_a_folder_of_another_sweep_is_refused(tmp_path):
    workdir = tmp_path / "w"
    made(workdir, ["prnet/figure3"], FOLDS)
    programs = Programs(tmp_path / "journal")
    with pytest.raises(InputError, match=r"holds the sweep of prnet/figure3: name prnet/figure3 in --table"):
        reproduce([TABLE], FOLDS, workdir, programs)
    with pytest.raises(
        InputError, match="holds a sweep with --scale=shapes --folds=0,1: give the same, or name"
    ):
        reproduce([plan("prnet/figure3", WHOLE)], WHOLE, workdir, programs)
    made(workdir, ["prnet/figure3", "prnet/table4"], FOLDS)  # more tables may join
    (workdir / "sweep.json").write_text("{")
    with pytest.raises(InputError, match=r"sweep.json is damaged: name a new folder\.$"):
        reproduce([TABLE], FOLDS, workdir, programs)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("Dear")
    with pytest.raises(InputError, match="holds something else than a sweep: name a new folder"):
        reproduce([TABLE], FOLDS, tmp_path / "full", programs)
