"""What is on a sheet of episodes, with the IoUs of every row."""

import csv

from fsjax.reproduction import plan, scale
from fsjax.reproduction.sheets import write_sheets
from tests.evaluation.test_paired import POLICY, episode
from tests.evaluation.test_results import write


def test_a_sheet_lists_its_episodes_with_the_ious_of_all_whole_rows(tmp_path):
    figure = plan("dpnet/figure4", scale("shapes", "", (), "0,1"))
    (job,) = figure.jobs
    folder = job.folder(tmp_path)
    folder.mkdir(parents=True)
    nothing = episode("empty", 0, 0, index=2)
    rows = {
        "master": [episode("good", 9, 1), episode("bad", 1, 7, index=1, class_id=2), nothing],
        "aux": [episode("good", 2, 1), episode("bad", 0, 8, index=1, class_id=2), nothing],
        "fewer": [episode("good", 10, 0)],
    }
    settings = {"pictures": 3, "pictures_of": "best", **POLICY}
    write(folder, rows, class_ids=[1, 2], config={"eval": settings})
    (folder / "branches.png").write_bytes(b"a picture")

    write_sheets(tmp_path / "sheet", figure, ["Few steps."], tmp_path)

    sheet, page = tmp_path / "sheet.png", (tmp_path / "sheet.md").read_text()
    assert page.startswith("# DPNet, Figure 4\n\n**Few steps.**\n\nIoU below")
    assert "## DPNet shapes fold 0, pictures\n\n![DPNet shapes fold 0, pictures](sheet.png)" in page
    assert page.count("\npython train.py") == 2  # of the lent backbone, too
    assert page.count("\npython eval.py") == 1
    assert sheet.read_bytes() == b"a picture"
    with sheet.with_suffix(".csv").open(newline="") as file:
        head, *lines = csv.reader(file)
    assert head == [
        "chosen as", "run", "episode", "class", "query", "supports", "IoU of master", "IoU of aux",
    ]  # fmt: skip
    assert lines == [
        ["best", "0", "2", "cat", "empty", "s", "", ""],
        ["best", "0", "0", "cat", "good", "s", "90.0", "66.7"],
        ["best", "0", "1", "dog", "bad", "s", "12.5", "0.0"],
    ]


def test_a_sheet_that_was_not_run_is_told(tmp_path):
    write_sheets(tmp_path / "sheet", plan("dpnet/figure4", scale("shapes", "", (), "0")), [], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.md"]
    assert "pictures\n\nnot run\n" in (tmp_path / "sheet.md").read_text()
