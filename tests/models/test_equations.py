"""docs/equations.md says of every numbered equation of both papers where it is, and says it truly."""

import ast
import re
from functools import cache, reduce
from importlib import import_module
from pathlib import Path

import pytest

from fsjax.config import TABLE

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "equations.md").read_text()
PAPERS = {"prnet": range(1, 15), "dpnet": range(1, 12)}
LONGEST = 40  # lines of a function that holds an equation, its docstring included


def rows():
    """(paper, number, function, test, field or "") of every line of the tables."""
    found = []
    for paper in PAPERS:
        (section,) = re.findall(rf"^## {paper}$(.*?)(?=^## |\Z)", TEXT, re.M | re.S | re.I)
        for line in re.findall(r"^\| \d+ \|.*\|$", section, re.M):
            number, _, function, test, field = (cell.strip(" `") for cell in line.split("|")[1:-1])
            found.append((paper, int(number), function, test, field))
    return found


ROWS = rows()


@cache
def definitions(path):
    """The lines of every function and class of a file under its dotted name."""
    text, found = path.read_text(), {}
    lines = text.splitlines()

    def visit(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                name = f"{prefix}{child.name}"
                found[name] = lines[child.lineno - 1 : child.end_lineno]
                visit(child, f"{name}.")

    visit(ast.parse(text), "")
    return found


def test_no_equation_is_missing_and_none_stands_twice():
    assert [(paper, number) for paper, number, *_ in ROWS] == [
        (paper, number) for paper, numbers in PAPERS.items() for number in numbers
    ]


@pytest.mark.parametrize(("paper", "number", "function", "test", "field"), ROWS)
def test_a_row_is_true(paper, number, function, test, field):
    module, _, name = function.partition(".")
    reduce(getattr, name.split("."), import_module(f"fsjax.models.{paper}.{module}"))
    source = definitions(ROOT / "fsjax" / "models" / paper / f"{module}.py")[name]
    assert re.search(rf"Eq\. {number}\b", "\n".join(source)), "the function does not name the equation"
    assert len(source) <= LONGEST
    file, _, test_name = test.partition(".")
    assert test_name in definitions(ROOT / "tests" / "models" / paper / f"{file}.py")
    assert not field or field in TABLE


@pytest.mark.parametrize("paper", PAPERS)
def test_no_other_number_is_named(paper):
    """A mark that the table does not know would be a slip: there is no such equation."""
    for path in (ROOT / "fsjax" / "models" / paper).glob("*.py"):
        numbers = {int(number) for number in re.findall(r"Eq\. (\d+)", path.read_text())}
        assert numbers <= set(PAPERS[paper])


def steps_of_fssdino():
    """(functions, test, fields) of every line of FSSDINO's table, whose steps have no numbers."""
    section = TEXT.split("## FSSDINO\n")[1]
    lines = re.findall(r"^\| (?!Step|---).*\|$", section, re.M)
    for line in lines:
        _, _, *cells = (re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split(" | "))
        yield tuple(cells)


@pytest.mark.parametrize(("functions", "test", "fields"), list(steps_of_fssdino()))
def test_a_step_of_fssdino_is_where_it_is_said_to_be(functions, test, fields):
    papers = dict.fromkeys(("prototypes", "gram", "prnet"), "prnet")
    for function in functions:
        module, _, name = function.partition(".")
        reduce(
            getattr, name.split("."), import_module(f"fsjax.models.{papers.get(module, 'fssdino')}.{module}")
        )
    file, _, test_name = test[0].partition(".")
    (path,) = (ROOT / "tests" / "models").glob(f"*/{file}.py")
    assert test_name in definitions(path)
    assert set(fields) <= set(TABLE)
