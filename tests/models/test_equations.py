"""Every numbered equation of both papers is found with one grep, in the modules of its paper."""

import re
from pathlib import Path

import pytest

import fsjax.models

ROOMS = {paper: Path(fsjax.models.__file__).parent / paper.lower() for paper in ("PRNet", "DPNet")}
EQUATIONS = [("PRNet", n) for n in range(1, 15)] + [("DPNet", n) for n in range(1, 12)]


def without_opening(module):
    """The module's text without its first docstring, which may say what other modules hold."""
    return module.read_text().split('"""', 2)[-1]


@pytest.mark.parametrize(("paper", "number"), EQUATIONS)
def test_an_equation_is_named(paper, number):
    name = rf"DPNet Eq\. {number}\b" if paper == "DPNet" else rf"Eq\. {number}\b"
    assert any(re.search(name, without_opening(module)) for module in ROOMS[paper].glob("*.py"))
