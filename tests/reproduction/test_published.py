"""What the papers print is what we say that they print."""

import json
import re
from decimal import Decimal

import pytest

from fsjax.errors import InputError
from fsjax.reproduction.published import FILE, published, published_figures, read

WEIGHTED_SUMS = {
    "prnet/table1": "2371.5 2254.6 2563.3 2933.8 2508 3095.4 3235.6 3207.59",
    "prnet/table2": "401.5 1807.16 1300.83 2149.48",
    "prnet/table3": "294 756.5 2867.38",
    "prnet/table4": "184.3 180.5 185.8 185.6 195.7 189.8 207.9 205.4 215.59",
    "prnet/table5": "161.4 186.2 190.78 204.65",
    "dpnet/table1": "5250.4 3095.9 3304.4 3507.4 3323.6 3499.7 3741.1 3802.5 3199.8 3351.3 3531.1 "
    "3557.1 3784.6",
    "dpnet/table2": "80.3 101.6 106 119.6 117.3 67.4 107.2 116.8 123",
    "dpnet/table3": "801.9 823.9 832 863.4",
    "dpnet/table4": "832 841.4 856.7 863.4",
    "dpnet/table5": "563.8 567.5 570.5 563.6",
    "dpnet/table6": "863.4 872.4 909.5 922.4",
}
"""Of each row, the first number plus twice the second plus thrice the third ...: from a second reading."""


def test_a_second_reading_gives_the_same_sums():
    sums = {}
    for name, table in published().items():
        values = [row.values.values() for row in table.rows]
        sums[name] = [sum(i * (value or 0) for i, value in enumerate(row, start=1)) for row in values]
    assert sums == {name: [Decimal(one) for one in text.split()] for name, text in WEIGHTED_SUMS.items()}


def printed(path):
    """Returns the rows of each table in a paper's text: numbers as printed, with ** where they are bold."""
    tables, block = {}, []
    for line in path.read_text().splitlines():
        block += [line] if "\t" in line else []
        if caption := re.match(r"Table (\d+):", line):
            rows = [[re.sub("</?b>", "**", cell.strip()) for cell in line.split("\t")] for line in block]
            rows = [
                [cell for cell in row if re.fullmatch(r"(\*\*)?\d+\.\d+M?(\*\*)?|-", cell)] for row in rows
            ]
            tables[f"{path.stem}/table{caption[1]}"] = [row for row in rows if row]
            block = []
    return tables


@pytest.mark.parametrize("paper", ["prnet", "dpnet"])
def test_every_number_of_the_papers_texts(shared, paper):
    path = shared / "papers" / f"{paper}.md"
    if not path.exists():
        pytest.skip("the papers' texts are not there")

    def shown(row, column):
        value = row.values[column.key]
        text = "-" if value is None else f"{value}{'M' if column.kind == 'parameters' else ''}"
        return f"**{text}**" if column.key in row.bold else text

    ours = {
        name: [[shown(row, column) for column in table.columns] for row in table.rows]
        for name, table in published().items()
        if name.startswith(paper)
    }
    assert ours == printed(path)


def test_printed_means_that_disagree_with_their_folds():
    found = {
        (name, one.row.labels[0].split(" (")[0], one.column.key): str(one)
        for name, table in published().items()
        for one in table.disagreements()
    }
    assert found == {
        ("prnet/table1", "OSLSM", "1-shot/Mean"): "Printed 40.80; its folds average 41.83.",
        ("prnet/table1", "FWB", "1-shot/Mean"): "Printed 56.19; its folds average 56.24.",
        ("prnet/table1", "PRNet", "5-shot/Mean"): "Printed 60.56; its folds average 60.65.",
        ("dpnet/table1", "SCL(PFENet)", "5-shot/Mean"): "Printed 62.9; its folds average 60.35.",
    }


def rows_by_method(name):
    return {row.labels[0].split(" (")[0]: row for row in published()[name].rows if row.key is None}


@pytest.mark.parametrize(
    ("ours", "theirs", "places", "differ"),
    [
        (
            "prnet/table1",
            "dpnet/table1",
            {f"{k}-shot/fold-{i + 1}": f"{k}-shot/Fold{i}" for k in (1, 5) for i in range(4)}
            | {f"{k}-shot/Mean": f"{k}-shot/Mean" for k in (1, 5)},
            {
                ("OSLSM", "1-shot/fold-3"),
                ("PANet", "1-shot/fold-4"),
                *(("OSLSM", f"5-shot/{name}") for name in ("fold-1", "fold-2", "fold-3", "fold-4", "Mean")),
            },
        ),
        (
            "prnet/table2",
            "dpnet/table2",
            {"1-shot/Mean": "1-shot", "5-shot/Mean": "5-shot"},
            {("FWB", "5-shot/Mean")},
        ),
    ],
)
def test_where_the_papers_print_other_numbers_of_the_same_method(ours, theirs, places, differ):
    first, second = rows_by_method(ours), rows_by_method(theirs)
    found = {
        (method, place)
        for method in first.keys() & second.keys()
        for place, other in places.items()
        if first[method].values[place] is not None
        and abs(first[method].values[place] - second[method].values[other]) >= Decimal("0.06")
    }
    assert found == differ
    groups = {(method, place.split("/")[0]) for method, place in found}
    for rows in (first, second):  # each is noted in both papers' tables
        assert groups <= {(m, place.split("/")[0]) for m, row in rows.items() for place in row.notes}


def test_oslsms_second_row_is_co_fcns():
    theirs, ours = rows_by_method("dpnet/table1")["OSLSM"], rows_by_method("prnet/table1")["co-FCN"]
    assert [v for k, v in theirs.values.items() if k.startswith("5")] == [
        v for k, v in ours.values.items() if k.startswith("5")
    ]


@pytest.mark.parametrize(
    ("name", "first", "second", "gains"),
    [
        ("prnet/table2", ("FWB", "1-shot/Mean", "5-shot/Mean"), "prnet split-B", ["13.10", "17.40"]),
        ("dpnet/table1", ("CANet", "1-shot/Mean", "5-shot/Mean"), "dpnet canet", ["3.3", "4.9"]),
        ("dpnet/table1", ("PFENet", "1-shot/Mean", "5-shot/Mean"), "dpnet pfenet", ["1.9", "4.3"]),
        ("dpnet/table2", ("PFENet", "1-shot", "5-shot"), "dpnet", ["4.8", "5.5"]),
    ],
)
def test_claimed_gains_are_those_of_the_numbers(name, first, second, gains):
    method, *places = first
    values, reproduced = rows_by_method(name)[method].values, published()[name].reproduced[second].values
    assert [reproduced[place] - values[place] for place in places] == [Decimal(gain) for gain in gains]
    text = " ".join(published()[name].claims)
    assert all(gain.removesuffix("0") in text for gain in gains)


def test_the_cells_to_reproduce():
    cells = {name: len(table.reproduced) * len(table.columns) for name, table in published().items()}
    assert list(cells.values()) == [10, 20, 10, 2, 4, 22, 2, 20, 20, 16, 20]
    first, fifth = published()["prnet/table1"], published()["dpnet/table5"]
    assert first.title == "PRNet, Table 1"
    assert first.decimals == 2
    assert fifth.decimals == 1
    assert first.columns[7].key == "5-shot/fold-3"
    assert first.columns[7].fold == 2
    assert [column.key for column in first.folds(first.columns[9])] == [
        f"5-shot/fold-{i}" for i in (1, 2, 3, 4)
    ]
    assert published_figures()["dpnet/figure5"].title == "DPNet, Figure 5"


def damaged(change):
    stored = json.loads(FILE.read_text("utf-8"))
    change(stored)
    return json.dumps(stored)


def change_row(**fields):
    return damaged(lambda stored: stored["tables"][0]["rows"][0].update(fields))


def change_table(place=0, **fields):
    return damaged(lambda stored: stored["tables"][place].update(fields))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is damaged in the file as a whole"),
        ("[]", "is damaged in the file as a whole"),
        (change_row(values=[1.0] * 9), "in prnet/table1"),
        (change_row(values=[101.0] * 10), "101.0 is no number from 0 to 100"),
        (change_row(values=["50.0"] * 10), "is no number"),
        (change_row(values=[float("nan")] * 10), "is no number"),
        (change_row(bold=["fold-9"]), "no column 'fold-9'"),
        (change_row(notes={"fold-9": "x"}), "no column 'fold-9'"),
        (change_row(labels=["a", "b"]), "2 labels"),
        (change_row(labels="a"), "is no list"),
        (change_row(key="prnet"), "'prnet' is there twice"),
        (change_table(metric="accuracy"), "'accuracy' is none of mean-IoU"),
        (change_table(id="other/table1"), "'other/table1' does not name a paper"),
        (change_table(1, id="prnet/table1"), "'prnet/table1' is there twice"),
        (
            damaged(lambda stored: stored["tables"][3].pop("caption")),
            "in prnet/table4 ('caption' is missing)",
        ),
        (damaged(lambda stored: stored["figures"][0].pop("claims")), "in prnet/figure2"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, text, says):
    path = tmp_path / "published.json"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(str(path))) as refused:
        read(path)
    assert says in str(refused.value)
    assert str(refused.value).endswith("install fsjax again.")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "published.json")
