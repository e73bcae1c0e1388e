"""fsjax.compare as its users start it, on a run's own results."""

import re

from fsjax import compare
from tests.commands.programs import scores, start


def test_two_rows_of_a_run(trained, capsys):
    assert start(compare, f"{trained}/run", "--rows=fusion2:rgb") == 0
    *_, line = capsys.readouterr().out.splitlines()
    means = {row["name"]: row["mean_iou"] for row in scores(trained / "run")}
    told = [float(number) for number in re.findall(r"[+-]?\d+\.\d", line)]
    assert line.split()[:2] == ["fusion2", "rgb"]
    expected = [means["fusion2"], means["rgb"], means["fusion2"] - means["rgb"]]
    assert all(abs(a - b) < 0.11 for a, b in zip(told, expected, strict=False))
    assert line.split()[-1] == "8"


def test_a_run_is_nothing_away_from_itself(trained, capsys):
    assert start(compare, f"{trained}/run", f"{trained}/run/../run") == 0
    _, _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [row["name"] for row in scores(trained / "run")]
    assert all("+0.0  +0.0 to +0.0" in line for line in lines)


def test_what_is_to_be_compared_has_to_be_said(trained, refusal, tmp_path):
    assert "Name the folder" in refusal(compare)
    assert "Name the rows to compare" in refusal(compare, f"{trained}/run")
    assert f"There is no {tmp_path}/results.json" in refusal(compare, f"{tmp_path}")
    assert "has no row 'fusion7'" in refusal(compare, f"{trained}/run", "--rows=fusion7:rgb")
    assert "There is no flag --row" in refusal(compare, f"{trained}/run", "--row=rgb")
