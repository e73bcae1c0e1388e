"""Every numbered equation of PRNet is found with one grep."""

import re
from pathlib import Path

import pytest

import fsjax.models

SOURCES = "\n".join(path.read_text() for path in Path(fsjax.models.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("number", range(1, 15))
def test_an_equation_is_named(number):
    assert re.search(rf"Eq\. {number}\b", SOURCES)
