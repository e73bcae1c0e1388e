"""Tables as people read them: worked examples of Markdown, and LaTeX that is well-formed."""

import re
from itertools import accumulate

import pytest

from fsjax.reproduction import Found, Reproduction, latex, markdown, published
from tests.reproduction.small import small_table

COMMAND = "python train.py --fold=0\npython eval.py --shots=1"
FULL = Reproduction(
    found={
        ("new", "1-shot/fold-1"): Found(48.04, 0.31, (47.1, 49.0)),
        ("new", "1-shot/fold-2"): Found(53.7),
        ("new", "1-shot/Mean"): Found(50.87),
        ("new", "#Params"): Found(19_297_990),
    },
    comparable=True,
    header=["Protocol panet."],
    commands={
        ("new", "1-shot/fold-1"): COMMAND,
        ("new", "1-shot/Mean"): COMMAND,
        ("new", "#Params"): "python count.py",
    },
    marks={("new", "1-shot/fold-2"): ["Selected on the novel fold."]},
)

MARKDOWN = """\
# Toy, Table 1

Mean-IoU in percent on PASCAL-5i.

Protocol panet.

| Methods            | Source     | 1-shot fold-1 | 1-shot fold-2 | 1-shot Mean | #Params |
| ------------------ | ---------- | ------------: | ------------: | ----------: | ------: |
| Old (A and B 2018) | paper      |          40.0 |          50.0 |    47.0 [a] |       - |
| New                | paper      |      48.5 [b] |          52.5 |    **50.5** |   19.3M |
|                    | this run   |          48.0 |      53.7 [c] |        50.9 |   19.3M |
|                    | difference |          -0.5 |          +1.2 |        +0.4 |   +0.0M |

- [a] Printed 47.0; its folds average 45.00.
- [b] Elsewhere 48.6.
- [c] Selected on the novel fold.
- Two folds only.

## What the paper's text says

- New is better.

## This run, with intervals

| row | column        | this run | std over runs | 95% interval over episodes |
| --- | ------------- | -------: | ------------: | -------------------------: |
| new | 1-shot/fold-1 |     48.0 |           0.3 |               47.1 to 49.0 |

## Commands

- new: 1-shot/fold-1, 1-shot/Mean
  ```sh
  python train.py --fold=0
  python eval.py --shots=1
  ```
- new: #Params
  ```sh
  python count.py
  ```
"""


def rows(text):
    """Returns the cells of a document's first table, without the heading."""
    lines = re.search(r"(?m)^\|.*(?:\n\|.*)*", text)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_markdown_of_a_small_table(tmp_path):
    assert markdown(small_table(tmp_path), FULL) == MARKDOWN


def test_what_is_not_comparable_has_no_differences_and_says_so(tmp_path):
    header = "Scale shapes: 120 steps: not comparable with the paper's numbers."
    ours = Reproduction(found=FULL.found, comparable=False, header=[header])
    text = markdown(small_table(tmp_path), ours)
    assert f"\n**{header}**\n\n| Methods" in text
    assert [row[1] for row in rows(text)] == ["paper", "paper", "this run"]
    assert f"Mean-IoU in percent on PASCAL-$5^i$. {header}}}" in latex(small_table(tmp_path), ours)
    assert "difference" not in latex(small_table(tmp_path), ours)


def test_the_difference_is_that_of_the_shown_numbers(tmp_path):
    found = {("new", "1-shot/fold-1"): Found(48.46), ("new", "1-shot/fold-2"): Found(52.449)}
    text = markdown(small_table(tmp_path), Reproduction(found=found, comparable=True))
    assert rows(text)[2][2:4] == ["48.5", "52.4"]
    assert rows(text)[3][2:4] == ["+0.0", "-0.1"]


@pytest.mark.parametrize("field", ["found", "commands", "marks"])
def test_a_cell_that_the_table_does_not_have(tmp_path, field):
    value = {"found": Found(1.0), "commands": "python eval.py", "marks": ["Never."]}[field]
    given = {"found": {}, field: {("new", "5-shot/Mean"): value}}
    with pytest.raises(ValueError, match=re.escape("toy/table1 has no cell ('new', '5-shot/Mean')")):
        markdown(small_table(tmp_path), Reproduction(**given, comparable=True))


@pytest.mark.parametrize("name", published())
def test_every_table_shows_all_printed_rows_and_what_was_not_run(name):
    table = published()[name]
    shown = rows(markdown(table, Reproduction(found={}, comparable=True)))
    labels = len(table.labels)
    ours = [row for row in shown if row[labels] == "this run"]
    assert [tuple(row[:labels]) for row in shown if row[labels] == "paper"] == [
        row.labels for row in table.rows
    ]
    assert len(ours) == len(table.reproduced)
    assert {cell for row in ours for cell in row[labels + 1 :]} == {"not run"}
    assert len(shown) == len(table.rows) + len(ours)


def columns(line):
    """Returns how many columns a line of a tabular fills."""
    spans = [int(width) - 1 for width in re.findall(r"\\multicolumn\{(\d+)\}", line)]
    return len(re.findall(r"(?<!\\)&", line)) + 1 + sum(spans)


@pytest.mark.parametrize("name", published())
@pytest.mark.parametrize("comparable", [True, False])
def test_latex_is_well_formed(name, comparable):
    table = published()[name]
    found = {(key, column.key): Found(51.25) for key in table.reproduced for column in table.columns}
    mark = "100% of {these} & 5_000 $ #1 ~ ^ \\ <b>"
    text = latex(
        table,
        Reproduction(
            found=found,
            comparable=comparable,
            header=[mark],
            marks={place: [mark] for place in found},
            commands=dict.fromkeys(found, "python train.py \\\n  --x=%"),
        ),
    )
    text = re.sub(r"(?m)^%.*\n", "", text)  # comments
    assert re.findall(r"\\begin\{([a-z*]+)\}", text) == ["table*", "tabular"]
    assert re.findall(r"\\end\{([a-z*]+)\}", text) == ["tabular", "table*"]
    bare = re.sub(r"\\[{}$&%#_\\]", "", text)
    depth = [*accumulate({"{": 1, "}": -1}.get(character, 0) for character in bare)]
    assert depth[-1] == 0
    assert min(depth) == 0
    assert bare.count("$") % 2 == 0
    assert not re.search("[%#<>✓]", bare)
    body = re.search(r"\\begin\{tabular\}\{([lr]+)\}\n(.*)\\end\{tabular\}", text, re.DOTALL)
    lines = [line for line in body[2].splitlines() if line.endswith(r"\\")]
    assert {columns(line) for line in lines} == {len(body[1])} == {len(table.labels) + 1 + len(table.columns)}
    assert len(lines) >= 1 + len(table.rows) + len(table.reproduced)


def test_latex_of_a_small_table(tmp_path):
    lines = latex(small_table(tmp_path), FULL).splitlines()
    start = lines.index(r"\toprule")
    assert lines[start : lines.index(r"\bottomrule")] == [
        r"\toprule",
        r" &  & \multicolumn{3}{c}{1-shot} & \multicolumn{1}{c}{} \\",
        r"\cmidrule(lr){3-5}",
        r"Methods & Source & fold-1 & fold-2 & Mean & \#Params \\",
        r"\midrule",
        r"Old (A and B 2018) & paper & 40.0 & 50.0 & 47.0\textsuperscript{a} & -- \\",
        r"New & paper & 48.5\textsuperscript{b} & 52.5 & \textbf{50.5} & 19.3M \\",
        r" & this run & 48.0 & 53.7\textsuperscript{c} & 50.9 & 19.3M \\",
        r" & difference & $-$0.5 & +1.2 & +0.4 & +0.0M \\",
    ]
    assert lines[:3] == [
        "% new: 1-shot/fold-1, 1-shot/Mean:",
        "%   python train.py --fold=0",
        "%   python eval.py --shots=1",
    ]
