"""A small table of a paper that does not exist."""

import json

from fsjax.reproduction.published import read

GROUPS = [
    {"name": "1-shot", "kind": "folds", "columns": ["fold-1", "fold-2", "Mean"]},
    {"name": "", "kind": "parameters", "columns": ["#Params"]},
]
ROWS = [
    {"labels": ["Old (A and B 2018)"], "values": [40.0, 50.0, 47.0, None]},
    {
        "labels": ["New"],
        "key": "new",
        "values": [48.5, 52.5, 50.5, 19.3],
        "bold": ["1-shot/Mean"],
        "notes": {"1-shot/fold-1": "Elsewhere 48.6."},
    },
]
TABLE = {
    "id": "toy/table1",
    "caption": "Mean-IoU in percent on PASCAL-5i.",
    "metric": "mean-IoU",
    "labels": ["Methods"],
    "groups": GROUPS,
    "rows": ROWS,
    "notes": ["Two folds only."],
    "claims": ["New is better."],
}


def small_table(folder):
    """Returns the table, read from a file in `folder`."""
    stored = {
        "papers": {"toy": {"name": "Toy", "title": "A toy", "source": "nobody"}},
        "tables": [TABLE],
        "figures": [],
    }
    path = folder / "published.json"
    path.write_text(json.dumps(stored))
    return read(path)[0]["toy/table1"]
