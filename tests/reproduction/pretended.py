"""Programs that leave results without training anything, and the command line that sweeps with them.

python -m tests.reproduction.pretended WORKDIR JOURNAL SECONDS
"""

import sys
import time
from pathlib import Path
from unittest import mock

from fsjax.config import default
from fsjax.evaluation import metrics
from fsjax.evaluation.report import write_report
from fsjax.evaluation.summary import Description, Scored, summaries
from fsjax.reproduction import named, plan, reproduce, scale

ROWS = ("fusion0", "fusion1", "fusion2", "fusion2_adapt5", "aux", "master")
FOUNDATION = ("fssdino", "fusion0 gram=true", "fusion2 gram=true")
CURVES = {
    "adapt_curve": [f"fusion{stage}_adapt{step}" for stage in range(3) for step in range(11)],
    "prnet_dinov2": FOUNDATION,
    "variants": [f"master beta={beta / 10}" for beta in range(9)],
}
"""Rows beside, by what a command names."""

TABLES = "prnet/table1,prnet/figure3,dpnet/table3"


def hit_of(argv, row):
    """How many of the class's 100 pixels a command's row finds, different for most commands and rows."""
    folders = "--workdir=", "--out=", "--config.model.weights="
    decisive = [argument for argument in argv if not argument.startswith(folders)]
    return 1 + sum(map(ord, "".join([*decisive, row]))) % 99


def value_of(flag, argv):
    return next(argument.partition("=")[2] for argument in argv if argument.startswith(f"--{flag}="))


class Programs(dict):
    """train.py and eval.py, which write down what they begin and what they end."""

    def __init__(self, journal, seconds=0.0):
        super().__init__(dict.fromkeys(("train.py", "eval.py"), self._run))
        self._journal, self._seconds = Path(journal), seconds

    def _run(self, argv):
        folder = Path(value_of("workdir" if argv[0] == "train.py" else "out", argv))
        self._write(f"begun {folder.name}")
        time.sleep(self._seconds)
        leave_results(folder, argv)
        self._write(f"ended {folder.name}")

    def _write(self, line):
        with self._journal.open("a") as journal:  # one write, which no other process's can divide
            journal.write(f"{line}\n")


def leave_results(folder, argv, selected=(), version="1"):
    """Two runs of one episode, of which half of the truth's void is predicted as the class."""
    config = default()
    config.eval.pictures, config.eval.pictures_of = 1, "best"
    about = Description(
        title="Toys", data_set="toy", version=version, split="test", fold=0, classes={1: "cat"}, protocol={},
        void="ignore", counting="strict", seed=7, selected_classes=selected,
        config=config.to_dict(),
    )  # fmt: skip
    scored = []
    beside = [row for field, rows in CURVES.items() if field in " ".join(argv) for row in rows]
    for row in dict.fromkeys([*ROWS, *beside]):
        hit, runs = hit_of(argv, row), (0,) if "_adapt" in row else (0, 1)
        records = [
            {
                "row": row, "run": run, "index": run, "class_ids": [1], "support": [["s"]],
                "shown": [1], "query": [f"q{run}"], "confusion": [[[100, 0], [100 - hit, hit], [10, 10]]],
            }
            for run in runs
        ]  # fmt: skip
        scored.append(Scored(row, records, "ab" * 32, 1.0))
    with mock.patch.object(metrics, "REPLICATES", 20):
        rows = summaries(scored, about, ())
    write_report(folder, about, rows, (record for row in scored for record in row.records))


def main(workdir, journal, seconds):
    at = scale("shapes", "", (), "0,1")
    reproduce(
        [plan(name, at) for name in named(TABLES)], at, Path(workdir), Programs(journal, float(seconds))
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
